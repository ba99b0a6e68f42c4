"""What a request must be before the gateway looks at what it asks for: meant for this host, and on a way in.

The plain socket is for this machine's own programs; whoever else finds it is sent to TLS. The onion service
has a socket of its own, and circuits that are encrypted already.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from lucid.gateway.cors import Cors
from lucid.gateway.headers import client_key
from lucid.gateway.limits import gate
from lucid.gateway.upstream.answers import SWITCHING
from lucid.kit.carried import CIRCUIT
from lucid.kit.errors import Code, Invalid

LOOPBACK_PATHS = frozenset({"/metrics", "/openapi.json"})
"""What every service has and the operator's own tools read; the public document is under the prefix."""

_HOST = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._-]*[A-Za-z0-9_-])\.?|\[(?P<address>[0-9A-Fa-f:.]+)\])(?::[0-9]{0,5})?"
)


@dataclass(frozen=True, slots=True)
class Entrance:
    """`hosts`: the gateway's own names, lower case; empty: any. `tls_port`: where it speaks TLS."""

    hosts: frozenset[str]
    cors: Cors
    tls_port: int

    def middleware(self) -> Middleware:
        """Lets in what may come in."""

        @web.middleware
        async def enter(request: web.Request, handler: Handler) -> web.StreamResponse:
            name = self.host(request)
            if request.secure or request.get_extra_info(CIRCUIT):
                if request.path in LOOPBACK_PATHS:
                    raise web.HTTPNotFound
            elif not _loopback(request.remote):
                return self._redirect(name, request.raw_path)
            await gate.enter(request, client_key(request))
            if request.method == hdrs.METH_OPTIONS and (answer := self._preflight(request)) is not None:
                return web.Response(status=204, headers=answer)
            return await handler(request)

        return enter

    def leave(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called on every answer: lets pages of the origins named read it."""
        if hdrs.UPGRADE in request.headers and response.status != SWITCHING:
            # aiohttp may have dropped what came behind an upgrade that is not made: nobody shall wait for it.
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"
        if self.cors.origins:
            response.headers.update(self.cors.headers(request.headers.get(hdrs.ORIGIN)))

    def host(self, request: web.Request) -> str:
        """The name that the request is meant for. Raises Invalid 1001 for none, several, or another's."""
        # The target of a request to a proxy (RFC 9112, 3.2.2) names a host of its own, which nobody checks.
        if not request.raw_path.startswith("/") and request.raw_path != "*":
            raise Invalid("the request's target must be a path: this is no proxy")
        given = request.headers.getall(hdrs.HOST, [])
        if len(given) > 1 or (not given and request.version >= (1, 1)):
            raise Invalid("a request has one Host header")
        name = host_name(given[0]) if given else ""
        # Tor brings what was meant for this onion service only, whose name nobody needs to list.
        onion = name.endswith(".onion") and request.get_extra_info(CIRCUIT)
        if self.hosts and name not in self.hosts and not onion:
            raise Invalid("this is not the host that the request is meant for", field="Host")
        return name

    def _preflight(self, request: web.Request) -> dict[str, str] | None:
        # A path without this method is told by the refusal, which knows the others.
        refusal = request.match_info.http_exception
        methods = refusal.allowed_methods if isinstance(refusal, web.HTTPMethodNotAllowed) else ()
        return self.cors.preflight(request.headers, methods) if methods else None

    def _redirect(self, name: str, path: str) -> web.StreamResponse:
        if not name:
            raise Invalid("this socket does not speak to other hosts; use https")
        where = f"[{name}]" if ":" in name else name
        return web.Response(status=308, headers={hdrs.LOCATION: f"https://{where}:{self.tls_port}{path}"})


def host_name(header: str) -> str:
    """The name in a Host header, without the port and the root's dot. Raises Invalid 1003 if it is none."""
    found = _HOST.fullmatch(header)
    if found is None:
        raise Invalid("the Host header is no host's name", code=Code.FORMAT, field="Host")
    return (found["name"] or found["address"]).lower()


@lru_cache(maxsize=4096)
def _loopback(peer: str | None) -> bool:
    try:
        return ipaddress.ip_address(peer or "").is_loopback
    except ValueError:
        return False
