"""rate-limiter: the limiter as a service, and the admins' way to see buckets and to fill one up."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from redis.exceptions import RedisError

from lucid.contracts import auth_service
from lucid.contracts import rate_limiter as contract
from lucid.gateway.limits import limiter
from lucid.gateway.limits.ledger import Stock
from lucid.gateway.limits.limiter import LEDGER, LIMITER, TIERS
from lucid.gateway.limits.settings import LimitSettings
from lucid.gateway.limits.tiers import Tier, key_of
from lucid.gateway.limits.verdict import seconds_until_full
from lucid.kit import app, launch, settings
from lucid.kit.errors import Unavailable
from lucid.kit.identity import verifying
from lucid.kit.logs import log
from lucid.kit.routes import NOTHING, Nothing
from lucid.kit.tokens import VERIFIER

handlers = app.Handlers()


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    config = settings.load(LimitSettings)
    limits = limiter.context(contract.SERVICE, config)
    client = launch.service_client(config, contract.SERVICE)
    verifier, fresh = verifying(client, auth_service.JWKS, auth_service.REVOCATIONS)
    service = app.build(contract.SERVICE, handlers, client=client, resources=[fresh, limits])
    service[VERIFIER] = verifier
    return service


@handlers.on(contract.CHECK)
async def check(call: app.Call, _: Nothing, body: contract.Check) -> contract.Verdict:
    """Says yes or no; a no is an answer, not an error."""
    tier = call.app[TIERS].named(body.tier)
    verdict = await call.app[LIMITER].admit(tier, _key(tier, body.key), body.cost)
    return contract.Verdict(
        admitted=verdict.admitted,
        limit=verdict.limit,
        remaining=verdict.remaining,
        reset=verdict.reset,
        retry_after=verdict.retry_after,
    )


@handlers.on(contract.BUCKETS)
async def buckets(call: app.Call, params: contract.BucketsQuery, _: Nothing) -> contract.Buckets:
    """Buckets that nobody has used for as long as they take to fill are not there any more."""
    tier = call.app[TIERS].named(params.tier)
    with _reachable():
        if params.key is not None:
            keys = [_key(tier, params.key)]
        else:
            keys = await call.app[LEDGER].keys(tier, params.after or "", params.limit + 1)
        found = await call.app[LEDGER].look(tier, keys[: params.limit])
    return contract.Buckets(
        tier=params.tier,
        capacity=tier.capacity,
        per_second=tier.rate,
        buckets=tuple(_view(tier, stock) for stock in found),
        next=keys[params.limit - 1] if len(keys) > params.limit else None,
    )


@handlers.on(contract.RESET)
async def reset(call: app.Call, path: contract.BucketPath, _: Nothing) -> Nothing:
    """Holds at once everywhere, but for refusals that a gateway remembers for a tenth of a second."""
    tier = call.app[TIERS].named(path.tier)
    key = _key(tier, path.key)
    with _reachable():
        await call.app[LEDGER].reset(tier, key)
    log.info("bucket filled up", tier=tier.name, key=key, by=call.user.sub)
    return NOTHING


def _key(tier: Tier, given: str) -> str:
    """The key as gateways write it, whatever it is that the tier is keyed by."""
    return key_of(tier, given, session=given) if tier.keyed_by.of_clients else given


def _view(tier: Tier, stock: Stock) -> contract.Bucket:
    reset = seconds_until_full(tier, stock.tokens)
    return contract.Bucket(key=stock.key, available=int(stock.tokens), reset=reset)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("the buckets cannot be reached; limits are local meanwhile") from error
