"""The hosts of a service that runs on several: what they are called, and where the service is on each.

A caller finds them in its environment, as `rdp1=https://10.0.0.4:8084,rdp2=https://10.0.0.5:8084`.
"""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from lucid.kit.settings import SettingsError

HostName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z", description="A host, by its name in the inventory."
    ),
]
_FORM = "write it as rdp1=https://10.0.0.4:8084,rdp2=https://10.0.0.5:8084"


def variable(service: str) -> str:
    """The environment variable that holds the base URLs of `service` by host."""
    return f"LUCID_URLS_{service.upper().replace('-', '_')}"


def written(urls: Mapping[str, str]) -> str:
    """Base URLs by host, as they stand in the variable."""
    return ",".join(f"{host}={url}" for host, url in urls.items())


def read(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The base URLs of `service` by host; none where the variable is not set. Raises SettingsError."""
    text = environ.get(variable(service), "")
    try:
        return _parsed(text) if text else {}
    except ValueError as error:
        raise SettingsError(f"cannot start: {variable(service)}: {error}; {_FORM}") from None


def _parsed(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, _, url = (part.strip() for part in pair.partition("="))
        try:
            msgspec.convert(name, HostName)
        except msgspec.ValidationError:
            raise ValueError(f"{name!r} is no name of a host") from None
        if name in found:
            raise ValueError(f"host {name} is named twice")
        if not _is_base(url):
            raise ValueError(f"{url!r} of {name} is no base URL")
        if url in found.values():
            raise ValueError(f"{url} of {name} is the URL of another host too")
        found[name] = url
    return found


def _is_base(url: str) -> bool:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and bool(port) and plain
