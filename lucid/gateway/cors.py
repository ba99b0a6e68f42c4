"""Which pages of other origins may use the API from a browser (https://fetch.spec.whatwg.org/#http-cors-protocol).

None, unless the settings name them. A page of any origin (`*`) may only ask what anybody may: never together
with credentials.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lucid.kit import context
from lucid.kit.settings import SettingsError

ANY = "*"
ASKED_HEADERS = f"Authorization, Content-Type, If-Range, Range, {context.REQUEST_ID_HEADER}"
SHOWN_HEADERS = (
    f"Accept-Ranges, Content-Disposition, Content-Range, ETag, Retry-After, {context.REQUEST_ID_HEADER},"
    " RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
PREFLIGHT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins that are let in, e.g. `https://lucid.example`, and whether with cookies and the like."""

    origins: frozenset[str]
    credentials: bool = False

    def headers(self, origin: str | None) -> dict[str, str]:
        """What any answer to a request of `origin` carries."""
        if not self.origins:
            return {}
        if ANY in self.origins:
            return {"Access-Control-Allow-Origin": ANY, "Access-Control-Expose-Headers": SHOWN_HEADERS}
        if origin not in self.origins:
            return {"Vary": "Origin"}
        allowed = {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin or "",
            "Access-Control-Expose-Headers": SHOWN_HEADERS,
        }
        return allowed | ({"Access-Control-Allow-Credentials": "true"} if self.credentials else {})

    def preflight(self, headers: Mapping[str, str], methods: Iterable[str]) -> dict[str, str] | None:
        """The answer to a preflight for a path with `methods`; None if the request is none, or not let in."""
        origin = headers.get("Origin")
        if origin is None or "Access-Control-Request-Method" not in headers:
            return None
        if not self.origins & {ANY, origin}:
            return None
        return {
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": ASKED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }


def cors(origins: str, *, credentials: bool) -> Cors:
    """The rule from its settings, origins with commas between them. Raises SettingsError."""
    found = frozenset(origin.strip() for origin in origins.split(",") if origin.strip())
    for origin in found - {ANY}:
        parts = urlsplit(origin)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.netloc
            or f"{parts.scheme}://{parts.netloc}" != origin
        ):
            raise SettingsError(
                f"CORS_ORIGINS: {origin!r} is no origin such as https://lucid.example, without a path"
            )
    if ANY in found and (credentials or len(found) > 1):
        raise SettingsError(
            "CORS_ORIGINS: * stands alone, and never together with CORS_CREDENTIALS; name the origins"
        )
    return Cors(found, credentials)
