"""The sessions of this host on disk: one file for each, whole or not there, whenever the power goes."""

from pathlib import Path

import msgspec

from lucid.kit.durable import TEMPORARY_SUFFIX, sync_directory, write_durably
from lucid.kit.logs import log
from lucid.rdp.life import Record

SUFFIX = ".json"


class Records:
    """A directory of records. All of this blocks: call it in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self) -> dict[str, Record]:
        """All records, by session. One that cannot be read stays for a person to see; its desktop is ended.

        For the agent's slot then belongs to nobody.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for unfinished in self._directory.glob(f"*{TEMPORARY_SUFFIX}"):
            unfinished.unlink()
        found: dict[str, Record] = {}
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            try:
                record = msgspec.json.decode(path.read_bytes(), type=Record)
            except msgspec.MsgspecError as error:
                log.error("record of a session cannot be read", file=path.name, error=str(error))
                continue
            found[record.session] = record
        return found

    def save(self, record: Record) -> None:
        """Durable on return. Raises OSError."""
        write_durably(self._path(record.session), [msgspec.json.encode(record)])

    def remove(self, session: str) -> None:
        """Forgets a session. Raises OSError."""
        self._path(session).unlink(missing_ok=True)
        sync_directory(self._directory)

    def _path(self, session: str) -> Path:
        return self._directory / f"{session}{SUFFIX}"
