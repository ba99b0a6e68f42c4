"""The settings that a service with limits has, and the tiers that they make."""

from typing import Annotated

from msgspec import Meta

from lucid.gateway.limits.tiers import MB, KeyedBy, Tier, Tiers, bandwidth, requests
from lucid.kit import redis


def _figure(description: str, unit: str, example: int) -> Meta:
    return Meta(ge=0, le=2**40, description=description, extra={"unit": unit}, examples=[example])


_MINUTE = "requests a minute, 0 to refill nothing"


class LimitSettings(redis.RedisSettings, frozen=True, kw_only=True):
    """What the tiers are made from. Services that share buckets must be given the same figures."""

    rate_limit_enabled: Annotated[bool, Meta(description="whether tiers of people and sessions apply")] = True
    rate_limit_public_req_per_min: Annotated[int, _figure("without a token", _MINUTE, 100)] = 100
    rate_limit_public_burst: Annotated[int, _figure("without a token, at once", "requests", 200)] = 200
    rate_limit_auth_req_per_min: Annotated[int, _figure("of one user", _MINUTE, 1000)] = 1000
    rate_limit_auth_burst: Annotated[int, _figure("of one user, at once", "requests", 2000)] = 2000
    rate_limit_admin_req_per_min: Annotated[int, _figure("of one admin", _MINUTE, 10_000)] = 10_000
    rate_limit_admin_burst: Annotated[int, _figure("of one admin, at once", "requests", 20_000)] = 20_000
    rate_limit_blocks_req_per_min: Annotated[int, _figure("for blocks of the chain", _MINUTE, 500)] = 500
    rate_limit_blocks_burst: Annotated[int, _figure("for blocks, at once", "requests", 1000)] = 1000
    rate_limit_upload_bytes_per_second: Annotated[
        int, _figure("of bodies of one login", "bytes a second, 0 to refill nothing", 10 * MB)
    ] = 10 * MB
    rate_limit_upload_burst: Annotated[int, _figure("of bodies of one login, at once", "bytes", 20 * MB)] = (
        20 * MB
    )
    rate_limit_redis_seconds: Annotated[
        float,
        Meta(
            ge=0.01,
            le=10,
            description="longest wait for Redis before local limits apply",
            extra={"unit": "seconds"},
            examples=[0.1],
        ),
    ] = 0.1
    ddos_protection_enabled: Annotated[bool, Meta(description="whether each address is limited")] = True
    ddos_max_requests_per_min: Annotated[int, _figure("from one address", _MINUTE, 1000)] = 1000
    ddos_burst_limit: Annotated[int, _figure("from one address, above it at once", "requests", 200)] = 200
    adaptive_rate_limiting: Annotated[
        bool, Meta(description="whether requests to a struggling upstream count for more than one")
    ] = False
    adaptive_latency_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=600,
            description="mean time of an upstream's answers above which it struggles",
            extra={"unit": "seconds"},
            examples=[2],
        ),
    ] = 2.0

    def tiers(self) -> Tiers:
        """The tiers with these figures."""

        def counted(name: str, per_minute: int, burst: int, keyed_by: KeyedBy) -> Tier:
            return requests(name, per_minute, burst, keyed_by, limited=self.rate_limit_enabled)

        return Tiers(
            public=counted(
                "public", self.rate_limit_public_req_per_min, self.rate_limit_public_burst, KeyedBy.ADDRESS
            ),
            authenticated=counted(
                "authenticated", self.rate_limit_auth_req_per_min, self.rate_limit_auth_burst, KeyedBy.USER
            ),
            admin=counted(
                "admin", self.rate_limit_admin_req_per_min, self.rate_limit_admin_burst, KeyedBy.USER
            ),
            blocks=counted(
                "blocks",
                self.rate_limit_blocks_req_per_min,
                self.rate_limit_blocks_burst,
                KeyedBy.USER_OR_ADDRESS,
            ),
            upload=bandwidth(
                "upload",
                self.rate_limit_upload_bytes_per_second,
                self.rate_limit_upload_burst,
                KeyedBy.SESSION,
                limited=self.rate_limit_enabled,
            ),
            address=requests(
                "address",
                self.ddos_max_requests_per_min,
                self.ddos_max_requests_per_min + self.ddos_burst_limit,
                KeyedBy.ADDRESS,
                limited=self.ddos_protection_enabled,
            ),
        )
