"""Headers on every answer, failures included, that tell a browser to trust as little as possible."""

from aiohttp import hdrs, web

SECURITY = {
    # Also on the loopback socket: what stands in front of that speaks TLS to people.
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


async def secure(_: web.Request, response: web.StreamResponse) -> None:
    """Signal handler for `on_response_prepare`. Takes away the name and version of the server software."""
    response.headers.update(SECURITY)
    response.headers.pop(hdrs.SERVER, None)
