"""What else stands behind the gateway: services of others, by the front of their paths, from a file.

The catalogue names Lucid's own services, whose every operation is known. Others are passed through:

    upstreams:
      samples: {urls: ["http://10.0.0.7:8081", "http://10.0.0.8:8081"], read_seconds: 30, health: /health}
    passages:
      - {prefix: /api/samples, upstream: samples, access: user}
      - {prefix: /api/live, upstream: samples, access: user, websocket: true}

An answer with a status in `failing` counts against a service as if it had not come. A service is up if it
answers 200 at `health`.

A prefix stands for itself and what is below it, never for what merely begins with the same letters.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml

from lucid import catalog
from lucid.kit.routes import Access
from lucid.kit.settings import SettingsError

MAX_BODY = 100 * 1024 * 1024
"""Largest body that is passed through unless the file says otherwise, bytes."""

GATEWAY_FAILURES = (502, 503, 504)
"""What says of itself that the service, or what it stands on, does not work (RFC 9110, 15.6.3 to 15.6.5)."""

Prefix = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Failing = Annotated[int, msgspec.Meta(ge=500, le=599)]


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service: where its replicas are, how long it may keep people waiting, seconds, and what is amiss."""

    urls: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    connect_seconds: Seconds = 5.0
    read_seconds: Seconds = 10.0
    failing: tuple[Failing, ...] = GATEWAY_FAILURES
    health: Prefix | None = None
    """A path; None: nobody asks it how it is."""


class Passage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the paths: whose it is, and who may go there."""

    prefix: Prefix
    upstream: Name
    access: Literal["public", "user", "node_operator", "admin", "super_admin"]
    websocket: bool = False
    max_body: Annotated[int, msgspec.Meta(ge=0)] = MAX_BODY

    @property
    def audience(self) -> Access:
        """The least role that it takes."""
        return Access[self.access.upper()]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is passed through."""

    upstreams: dict[Name, Service] = {}
    passages: tuple[Passage, ...] = ()


def load(file: str) -> Profile:
    """The profile in `file`; an empty name stands for none. Raises SettingsError."""
    if not file:
        return Profile()
    try:
        profile = msgspec.convert(yaml.safe_load(Path(file).read_text(encoding="utf-8")), Profile)
    except (OSError, ValueError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise SettingsError(f"GATEWAY_PROFILE: {file} cannot be used: {error}") from None
    if taken := profile.upstreams.keys() & catalog.load().services.keys():
        raise SettingsError(
            f"GATEWAY_PROFILE: {file}: `{min(taken)}` is a service of Lucid's own;"
            " give the upstream another name"
        )
    for passage in profile.passages:
        if passage.upstream not in profile.upstreams:
            raise SettingsError(
                f"GATEWAY_PROFILE: {file}: {passage.prefix} leads to `{passage.upstream}`, which is not among"
                " the upstreams; name it there"
            )
    return profile
