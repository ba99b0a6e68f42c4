"""Who gets past the gateway: the one place where a request is checked before anything is done for it."""

from typing import Any

from aiohttp import web
from prometheus_client import Counter

from lucid.kit.app import authorise
from lucid.kit.errors import LucidError
from lucid.kit.routes import Access, Route
from lucid.kit.tokens import Claims

validations_total = Counter(
    "lucid_auth_token_validations_total", "Access tokens checked, by what was found.", ["outcome"]
)
_valid = validations_total.labels("valid")


async def admit(request: web.Request, route: Route[Any, Any, Any]) -> Claims | None:
    """The claims of the caller, if `route` asks for a person. Raises as `authorise`."""
    if route.access is Access.PUBLIC:
        return None
    try:
        claims = await authorise(request, route.access)
    except Exception as error:
        outcome = error.code.name.lower() if isinstance(error, LucidError) else "failed"
        validations_total.labels(outcome).inc()
        raise
    _valid.inc()
    return claims
