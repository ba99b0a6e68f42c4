"""Headers at the gateway: on every answer, for a browser's sake, and on every request to a service."""

from collections.abc import Iterable

from aiohttp import hdrs, web
from multidict import istr

from lucid.kit import context
from lucid.kit.carried import CIRCUIT

POLICY: str = istr("Content-Security-Policy")
SECURITY: dict[str, str] = {
    # Also on the loopback socket: what stands in front of that speaks TLS to people.
    istr("Strict-Transport-Security"): "max-age=31536000; includeSubDomains",
    istr("X-Content-Type-Options"): "nosniff",
    istr("X-Frame-Options"): "DENY",
    istr("Referrer-Policy"): "no-referrer",
    POLICY: "default-src 'none'; frame-ancestors 'none'",
    istr("Permissions-Policy"): (
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
    ),
    istr("Cache-Control"): "no-store",
}
"""Their names are `istr`, which a header map need not bring into one case each time."""

CLIENT = web.RequestKey("client", str)
"""`client_key`, found once."""
HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
OWN = frozenset({
    "host", "content-length", "expect", "accept-encoding", "authorization", "x-request-id", "forwarded",
    "via", "x-real-ip", "http2-settings",
})  # fmt: skip
OWN_FRONTS = ("lucid-", "x-lucid-", "x-forwarded-")


def secure(_: web.Request, response: web.StreamResponse) -> None:
    """Called on every answer. Takes away the name and version of the server software."""
    headers = response.headers
    own = headers.get(POLICY)  # a page of the gateway's own may need more than nothing
    headers.update(SECURITY)
    if own is not None:
        headers[POLICY] = own
    headers.pop(hdrs.SERVER, None)


def outgoing(request: web.Request) -> list[tuple[str, str]]:
    """What every service is told with a request: its id, who asks and with which token.

    Nothing of it is taken from the client's headers but the token, and the id where it is fit for a log.
    """
    headers = [
        ("Accept-Encoding", "identity"),
        (context.REQUEST_ID_HEADER, context.request_id.get()),
        (context.CLIENT_HEADER, client_key(request)),
    ]
    if token := context.authorization.get():
        headers.append(("Authorization", token))
    return headers


def client_key(request: web.Request) -> str:
    """Whom limits and lockouts count against: an address, or `circuit:17` of the onion service."""
    if CLIENT in request:
        return request[CLIENT]
    circuit = request.get_extra_info(CIRCUIT)
    found = request[CLIENT] = str(circuit or request.remote or "unknown")
    return found


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of a message's headers that are for the other end (RFC 9110, section 7.6.1).

    Without those of one connection, those that `Connection` names, how long the body is, which is said anew,
    and those that only the gateway may say. Names with `_` go too: some servers take it for `-`.
    """
    given = list(headers)
    named = {
        token.strip().lower()
        for name, value in given
        if name.lower() == "connection"
        for token in value.split(",")
    }
    kept = []
    for name, value in given:
        lower = name.lower()
        if (
            lower in HOP_BY_HOP
            or lower in named
            or lower in OWN
            or "_" in lower
            or lower.startswith(OWN_FRONTS)
        ):
            continue
        kept.append((name, value))
    return kept
