"""TLS between services: one private authority, names of the form `<service>.lucid.internal`.

A server's context says who may connect, a client's context whom it believes. Both trust the given authority
alone, never the system's store.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_DOMAIN = ".lucid.internal"


class TlsError(ValueError):
    """A certificate, key or authority cannot be used; the message names the field and the file."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The files one listener serves TLS with, all PEM.

    `mode` is "mutual" (a client must show a certificate of `ca`) or "server" (clients stay anonymous).
    """

    cert: Path
    key: Path
    ca: Path | None
    mode: Literal["mutual", "server"]

    def __post_init__(self) -> None:
        if self.mode == "mutual" and self.ca is None:
            raise TlsError("ca: mode 'mutual' needs the authority's certificate; set ca, or mode 'server'")


def server_context(config: TlsConfig) -> ssl.SSLContext:
    """Read the files of `config` into a context for a listening socket, TLS 1.2 or newer.

    Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_own(context, config.cert, config.key)
    if config.mode == "mutual" and config.ca is not None:
        _trust(context, config.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(cert: Path, key: Path, ca: Path) -> ssl.SSLContext:
    """Make a context that shows `cert` and believes servers of `ca` whose name matches.

    Every service's certificate comes from the same authority, so the caller must also pass
    `server_hostname=internal_name(callee)`; the context refuses to connect without a name. Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load_own(context, cert, key)
    _trust(context, ca)
    return context


def peer_names(peercert: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the DNS names in a peer's verified certificate, in lower case.

    `peercert` is what `request.get_extra_info("peercert")` returns: `ssl.SSLSocket.getpeercert`'s mapping,
    None or empty for a peer without one.
    """
    names = (peercert or {}).get("subjectAltName", ())
    return frozenset(value.lower() for kind, value in names if kind == "DNS")


def internal_name(service: str) -> str:
    """Return the name `service`'s certificate carries, `auth-service` → `auth-service.lucid.internal`."""
    return service + _DOMAIN


def service_of(name: str) -> str | None:
    """Return the service an internal name stands for, None for any other name."""
    service = name.removesuffix(_DOMAIN)
    return service if service and service != name and "." not in service else None


def _load_own(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _require_readable("cert", cert)
    _require_readable("key", key)
    try:
        # Without a password here an encrypted key would ask for one on the terminal and hang the service.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise TlsError(
            f"cert, key: {cert} and {key} must be a PEM certificate and its own unencrypted key: {error}"
        ) from error


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    _require_readable("ca", ca)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise TlsError(f"ca: {ca} must hold a PEM certificate: {error}") from error
    context.verify_flags |= ssl.VERIFY_X509_STRICT


def _require_readable(field: str, path: Path) -> None:
    # ssl's own errors do not say which of the files they are about.
    try:
        path.open("rb").close()
    except OSError as error:
        raise TlsError(f"{field}: cannot read {path}: {error.strerror}") from error
