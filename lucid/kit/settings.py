"""Settings from the environment and from systemd credentials, checked before anything starts.

A settings struct is an ordinary msgspec struct. Each field is a variable of the same name in capitals; its
`Annotated[..., Meta(description=..., extra={"unit": ...}, examples=[...])]` is what a person is shown when it
is missing or wrong. A field of type `Secret` is read from `$CREDENTIALS_DIRECTORY/<name>`, never from the
environment, where every child process and crash dump would carry it. One with a default may be absent.
"""

import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


class Secret:
    """A value that never shows itself in a repr, a log or an error."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes, for the one place that uses them."""
        return self._value

    def text(self) -> str:
        """The bytes as UTF-8 text without the file's final newline."""
        return self._value.decode().rstrip("\n")

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")


class SettingsError(Exception):
    """Some settings are missing or wrong; the message lists every one of them."""


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that every service has."""

    environment: Annotated[
        Literal["development", "staging", "production"],
        msgspec.Meta(description="kind of deployment", examples=["production"]),
    ] = "production"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        msgspec.Meta(description="least level that is logged", examples=["INFO"]),
    ] = "INFO"
    state_directory: Annotated[
        str, msgspec.Meta(description="directory for what the service keeps", examples=["/var/lib/lucid"])
    ]
    tls_directory: Annotated[
        str,
        msgspec.Meta(
            description="directory with ca.crt, <service>.crt and <service>.key", examples=["/etc/lucid/tls"]
        ),
    ]
    drain_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=300,
            description="how long kept connections are served while stopping",
            extra={"unit": "seconds"},
            examples=[6],
        ),
    ] = 6.0
    mongodb_url: Annotated[
        str,
        msgspec.Meta(description="MongoDB replica set", examples=["mongodb://data1:27017/?replicaSet=lucid"]),
    ] = ""
    redis_url: Annotated[str, msgspec.Meta(description="Redis", examples=["redis://data1:6379/0"])] = ""


def load(kind: type[S], environ: Mapping[str, str] | None = None, credentials: Path | None = None) -> S:
    """Reads `kind` from the environment. Raises SettingsError that names every setting at fault."""
    environ = os.environ if environ is None else environ
    if credentials is None and environ.get("CREDENTIALS_DIRECTORY"):
        credentials = Path(environ["CREDENTIALS_DIRECTORY"])
    values: dict[str, Any] = {}
    faults: list[str] = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for item in msgspec.structs.fields(kind):
        annotation = hints[item.name]
        try:
            values |= _read(item, annotation, environ, credentials)
        except ValueError as error:
            faults.append(f"{_name(item.name, annotation)}: {error}{_help(annotation)}")
    if faults:
        raise _at_fault(faults)
    return kind(**values)


def missing(kind: type[msgspec.Struct], name: str) -> SettingsError:
    """The error for a field that `kind` lets be empty and that this service cannot do without."""
    annotation = typing.get_type_hints(kind, include_extras=True)[name]
    return _at_fault([f"{name.upper()}: is missing{_help(annotation)}"])


def _at_fault(faults: list[str]) -> SettingsError:
    return SettingsError("cannot start, settings at fault:\n  " + "\n  ".join(faults))


def _read(
    item: msgspec.structs.FieldInfo, annotation: Any, environ: Mapping[str, str], credentials: Path | None
) -> dict[str, Any]:
    required = item.default is msgspec.NODEFAULT and item.default_factory is msgspec.NODEFAULT
    if Secret in {_base(annotation), *typing.get_args(_base(annotation))}:
        if credentials is None:
            raise ValueError("no credentials directory (set LoadCredential= or CREDENTIALS_DIRECTORY)")
        try:
            value = (credentials / item.name).read_bytes()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not required:
                return {}
            raise ValueError(f"credential `{item.name}` cannot be read: {error.strerror}") from None
        if not value.strip():
            raise ValueError(f"credential `{item.name}` is empty")
        return {item.name: Secret(value)}
    raw = environ.get(item.name.upper())
    if raw is None or raw == "":
        if required:
            raise ValueError("is missing")
        return {}
    try:
        return {item.name: msgspec.convert(raw, annotation, strict=False)}
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}, got {raw!r}") from None


def _base(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _name(name: str, annotation: Any) -> str:
    return f"credential {name}" if _base(annotation) is Secret else name.upper()


def _help(annotation: Any) -> str:
    meta = next((m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, msgspec.Meta)), None)
    if meta is None:
        return ""
    unit = f" in {meta.extra['unit']}" if meta.extra and "unit" in meta.extra else ""
    example = f", for example {meta.examples[0]}" if meta.examples else ""
    return f" ({meta.description or ''}{unit}{example})"
