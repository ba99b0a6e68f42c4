"""The tiers: how much each kind of caller may ask for, and by what callers are told apart. Pure rules."""

import ipaddress
import math
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from lucid.kit.routes import Access, Route

MB = 1_000_000
BLOCKS_PATH = "/chain/blocks"


class KeyedBy(StrEnum):
    """What a tier's callers are told apart by."""

    ADDRESS = "address"
    USER = "user"
    USER_OR_ADDRESS = "user, else address"
    SESSION = "session"

    @property
    def of_clients(self) -> bool:
        """Whether addresses may be among its keys."""
        return self in {KeyedBy.ADDRESS, KeyedBy.USER_OR_ADDRESS}


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket for each key: it holds `capacity` tokens and gets `rate` of them back a second.

    A token is a request, or a byte where bandwidth is meant. `patience` is for bandwidth: bytes that have
    come cannot be sent back, so a caller may be that many seconds in debt and is slowed down, not refused.
    """

    name: str
    capacity: int
    rate: float
    """0: what is used up never comes back."""
    keyed_by: KeyedBy
    patience: float = 0.0
    limited: bool = True
    """False: everything is admitted and nothing counted."""

    @property
    def floor(self) -> float:
        """The least that a bucket may hold: 0, or a debt."""
        return -self.rate * self.patience

    def seconds_until(self, wanted: float, tokens: float) -> float:
        """How long a bucket of `tokens` takes to hold `wanted`, if left alone; infinite without refill."""
        if tokens >= wanted:
            return 0.0
        return (wanted - tokens) / self.rate if self.rate else math.inf


class Tiers(msgspec.Struct, frozen=True, kw_only=True):
    """All tiers of a deployment; the figures here are those that it has if nothing else is set."""

    public: Tier
    authenticated: Tier
    admin: Tier
    blocks: Tier
    upload: Tier
    address: Tier
    """Everything that one address sends, whatever else it counts as."""

    def of(self, route: Route[Any, Any, Any], caller: Access = Access.PUBLIC) -> Tier:
        """The tier that requests to `route` count in; `caller` is the rank of the person, once known.

        Raises ValueError for an internal route.
        """
        if route.access is Access.INTERNAL:
            raise ValueError(f"{route.path} is internal and has no tier: the gateway never serves it")
        if route.path == BLOCKS_PATH or route.path.startswith(BLOCKS_PATH + "/"):
            return self.blocks
        return self.by_rank(max(route.access, caller))

    def by_rank(self, rank: Access) -> Tier:
        """The tier of people of this rank; of PUBLIC, who nobody knows."""
        if rank <= Access.PUBLIC:
            return self.public
        return self.admin if rank >= Access.ADMIN else self.authenticated

    def named(self, name: str) -> Tier:
        """The tier of this name. Raises KeyError."""
        return {tier.name: tier for tier in self.all()}[name]

    def all(self) -> tuple[Tier, ...]:
        """Every tier, in the order of the fields."""
        return msgspec.structs.astuple(self)


def requests(name: str, per_minute: int, burst: int, keyed_by: KeyedBy, *, limited: bool = True) -> Tier:
    """A tier that counts requests."""
    return Tier(name=name, capacity=burst, rate=per_minute / 60, keyed_by=keyed_by, limited=limited)


def bandwidth(name: str, per_second: int, burst: int, keyed_by: KeyedBy, *, limited: bool = True) -> Tier:
    """A tier that counts bytes."""
    return Tier(
        name=name,
        capacity=burst,
        rate=float(per_second),
        keyed_by=keyed_by,
        patience=5.0,
        limited=limited,
    )


def key_of(tier: Tier, client: str, user: str | None = None, session: str | None = None) -> str:
    """Whose bucket it is. `client` is an address or an onion circuit.

    Raises ValueError where the tier needs a user or session and there is none: a shared bucket instead would
    let one caller shut out all others.
    """
    if tier.keyed_by is KeyedBy.ADDRESS:
        return address_key(client)
    if tier.keyed_by is KeyedBy.USER_OR_ADDRESS:
        return user or address_key(client)
    found = user if tier.keyed_by is KeyedBy.USER else session
    if not found:
        raise ValueError(f"tier {tier.name} is keyed by {tier.keyed_by}, and there is none")
    return found


@lru_cache(maxsize=4096)
def address_key(client: str) -> str:
    """An address as it is counted: of IPv6 the first 64 bits, because one line is given all that follow."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False).network_address)
