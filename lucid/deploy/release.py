"""A release: one archive with Lucid and all that it needs, as wheels, for hosts that reach no package index.

The archive holds `requirements.txt`, which names every wheel with its SHA-256, and the wheels. Its version
ends in a digest of that file, so that two archives of one version are the same.
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import msgspec

from lucid.deploy.errors import SiteError

_SECONDS = 900
_EPOCH = 315532800
"""1980-01-01, the first moment that a wheel's archive format knows: the same source makes the same bytes."""
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64", "any")


class Release(msgspec.Struct, frozen=True):
    """What was built."""

    version: str
    archive: str
    sha256: str


def build(source: Path, output: Path, python: str) -> Release:
    """Builds the release of the checkout `source` for hosts with Python `python`, for example 3.11.

    What was built before is taken as it is. Raises SiteError.
    """
    output.mkdir(parents=True, exist_ok=True)
    locked = source / "requirements" / "runtime.txt"
    with tempfile.TemporaryDirectory(dir=output) as scratch:
        own, wheels = Path(scratch) / "own", output / f"wheels-{python}-{_digest(locked.read_bytes())[:12]}"
        _pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(own), str(source))
        if not wheels.is_dir():
            fresh = Path(scratch) / "wheels"
            platforms = [f"--platform={name}" for name in _PLATFORMS]
            _pip(
                *("download", "--require-hashes", "--only-binary=:all:", f"--python-version={python}"),
                *("--implementation=cp", *platforms, "-r", str(locked), "-d", str(fresh)),
            )
            fresh.rename(wheels)
        wheel = next(own.glob("lucid-*.whl"))
        number = wheel.name.split("-")[1]  # the checkout's own, which need not be this Lucid's
        entry = f"lucid=={number} --hash=sha256:{_digest(wheel.read_bytes())}\n"
        requirements = locked.read_bytes() + entry.encode()
        version = f"{number}+{_digest(requirements)[:12]}"
        archive = output / f"lucid-{version}-py{python}.tar.gz"
        if not archive.exists():
            _pack(archive, requirements, [wheel, *sorted(wheels.iterdir())])
    return Release(version, str(archive), _digest(archive.read_bytes()))


def _pip(*arguments: str) -> None:
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(_EPOCH), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-m", "pip", "--quiet", *arguments]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS, env=environment)
    except subprocess.CalledProcessError as error:
        raise SiteError(f"pip {arguments[0]} failed:\n{error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise SiteError(f"pip {arguments[0]} took more than {_SECONDS} s") from None


def _pack(archive: Path, requirements: bytes, wheels: list[Path]) -> None:
    """A tar whose bytes depend on nothing but its content, whole or not there."""
    fresh = archive.with_suffix(".new")
    with (
        fresh.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in [("requirements.txt", requirements)] + [
            (w.name, w.read_bytes()) for w in wheels
        ]:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o644, _EPOCH
            tar.addfile(member, io.BytesIO(content))
    fresh.replace(archive)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
