"""The package sources of this machine: the hosts get their packages from the same places, by the proxy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.run import run

APT = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class Source:
    """One line of sources: an address, without a slash at its end, and what to take from it."""

    address: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    key: str

    def lines(self, *, plain: bool = False) -> str:
        """The source as lines of a sources.list; `plain` is without TLS, which the proxy then speaks."""
        address = re.sub(r"^https:", "http:", self.address) if plain else self.address
        option = f"[signed-by={self.key}] " if self.key else ""
        components = " ".join(self.components)
        return "".join(f"deb {option}{address} {suite} {components}\n" for suite in self.suites)


def codename() -> str:
    """The machine's release, such as `bookworm`."""
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def of_this_machine(directory: Path = APT) -> list[Source]:
    """The sources of the machine's own release, not those added for other programs.

    Reads both formats of sources.list(5). Raises LabError where there is none.
    """
    release = codename()
    found = []
    for path in sorted([directory / "sources.list", *directory.glob("sources.list.d/*")]):
        if path.suffix == ".list" and path.is_file():
            found += list(_one_line(path.read_text()))
        elif path.suffix == ".sources":
            found += list(_stanzas(path.read_text()))
    ours = [s for s in found if release and any(suite.split("-")[0] == release for suite in s.suites)]
    if not ours:
        raise LabError(f"{directory}: no source of packages for {release or 'this release'}; add a mirror")
    return ours


def options() -> dict[str, str]:
    """How this machine's apt differs from others in reaching and judging its mirrors: proxy, dates."""
    said = re.findall(r'^(Acquire::[\w:.-]+) "(.*)";$', run("apt-config", "dump"), re.MULTILINE)
    return {
        name: value
        for name, value in said
        if value and re.fullmatch(r"Acquire::(https?::Proxy|Check-(Valid-Until|Date))", name)
    }


def _one_line(text: str) -> Iterator[Source]:
    for match in re.finditer(r"^deb\s+(?:\[([^]]*)\]\s+)?(http\S+)\s+(\S+)\s+(.+)$", text, re.MULTILINE):
        key = re.search(r"signed-by=(\S+)", match.group(1) or "", re.IGNORECASE)
        yield Source(
            match.group(2).rstrip("/"),
            (match.group(3),),
            tuple(match.group(4).partition("#")[0].split()),
            key.group(1) if key else "",
        )


def _stanzas(text: str) -> Iterator[Source]:
    uncommented = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for stanza in re.split(r"\n\s*\n", uncommented):
        fields = {
            name.lower(): value.split()
            for name, value in re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t]+.*)*)", stanza, re.MULTILINE)
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        key = fields.get("signed-by", [""])
        for address in fields.get("uris", []):
            if address.startswith("http"):
                yield Source(
                    address.rstrip("/"),
                    tuple(fields.get("suites", [])),
                    tuple(fields.get("components", [])),
                    key[0] if len(key) == 1 else "",
                )
