"""Other checkouts of Lucid to deploy from: this one with something changed."""

import shutil
from pathlib import Path

from lab.place import REPOSITORY
from lucid import __version__

VERSION = "99.0"

PARTS = (
    *("ansible.cfg", "LICENSE", "README.md", "pyproject.toml", "site.yml"),
    *("files", "inventories", "lucid", "playbooks", "plugins", "requirements", "roles"),
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


def checkout(directory: Path, file: str, old: str, new: str) -> Path:
    """A copy of what a deployment needs, with `old` replaced by `new` in one file."""
    directory.mkdir()
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, directory / part, ignore=LEFT_OUT)
        else:
            shutil.copy2(source, directory / part)
    text = (directory / file).read_text()
    assert old in text, f"{file} has no {old!r}"
    (directory / file).write_text(text.replace(old, new))
    return directory


def newer(directory: Path) -> Path:
    """A release that differs: it calls itself VERSION."""
    return checkout(directory, "pyproject.toml", f'version = "{__version__}"', f'version = "{VERSION}"')


def dying(directory: Path) -> Path:
    """A release whose auth-service ends at its start."""
    return checkout(
        directory,
        "lucid/auth/service.py",
        "async def create() -> web.Application:\n",
        'async def create() -> web.Application:\n    raise RuntimeError("this release is broken")\n\n\n'
        "async def unused() -> web.Application:\n",
    )


def never_ready(directory: Path) -> Path:
    """A release whose session-api runs and is never ready."""
    return checkout(
        directory,
        "lucid/sessions/api.py",
        "async def create() -> web.Application:\n",
        "async def never() -> None:\n"
        '    raise RuntimeError("this release is broken")\n\n\n'
        "async def create() -> web.Application:\n"
        "    application = await whole()\n"
        "    from lucid.kit.health import CHECKS\n"
        '    application[CHECKS].add("broken", never)\n'
        "    return application\n\n\n"
        "async def whole() -> web.Application:\n",
    )
