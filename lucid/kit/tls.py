"""TLS between services: one private authority, names of the form `<service>.lucid.internal`.

A server's context says who may connect, a client's context whom it believes. Both trust the given authority
alone, never the system's store. Certificates are replaced in their files before they end: connections that
are made from then on have the new ones, without anybody being told.
"""

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from lucid.kit.logs import log

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

    def configure(context: ssl.SSLContext) -> None:
        _load_own(context, config.cert, config.key)
        if config.mode == "mutual" and config.ca is not None:
            _trust(context, config.ca)
            context.verify_mode = ssl.CERT_REQUIRED

    files = [config.cert, config.key, *([config.ca] if config.ca else [])]
    return _Following(ssl.PROTOCOL_TLS_SERVER, configure, files)


def client_context(cert: Path, key: Path, ca: Path) -> ssl.SSLContext:
    """Make a context that shows `cert` and believes servers of `ca` whose name matches.

    Every service's certificate comes from the same authority, so the caller must also pass
    `server_hostname=internal_name(callee)`; the context refuses to connect without a name. Raises TlsError.
    """

    def configure(context: ssl.SSLContext) -> None:
        _load_own(context, cert, key)
        _trust(context, ca)

    return _Following(ssl.PROTOCOL_TLS_CLIENT, configure, [cert, key, ca])


class _Following(ssl.SSLContext):
    """A context that asyncio's connections have from `files` as they are when the connection is made.

    What cannot be used, like a new certificate whose key is not written yet, leaves the one before in use
    until it can.
    """

    def __new__(cls, protocol: int, *_: object) -> Self:
        return super().__new__(cls, protocol)

    def __init__(
        self, protocol: int, configure: Callable[[ssl.SSLContext], None], files: Iterable[Path]
    ) -> None:
        self._configure, self._files = configure, tuple(files)
        self._protocol = protocol
        self._newer: ssl.SSLContext | None = None
        self._taken = self._refused = self._look()
        configure(self)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Called for each connection."""
        if (found := self._look()) not in {self._taken, self._refused}:
            self._take(found)
        wrap = self._newer.wrap_bio if self._newer else super().wrap_bio
        return wrap(incoming, outgoing, server_side, server_hostname, session)

    def _take(self, found: tuple[int, ...]) -> None:
        newer = ssl.SSLContext(self._protocol)
        try:
            self._configure(newer)
        except TlsError as error:
            self._refused = found
            log.error("the certificates from before stay in use", error=str(error))
            return
        self._newer, self._taken = newer, found

    def _look(self) -> tuple[int, ...]:
        """When each file was written, nanoseconds; 0 for one that is not there."""
        return tuple(_written(path) for path in self._files)


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


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
