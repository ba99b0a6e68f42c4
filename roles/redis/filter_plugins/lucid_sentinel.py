"""Filters of the role redis."""

import re
from collections.abc import Callable, Iterable
from typing import Any


def sentinel_master(files: Iterable[str], name: str) -> dict[str, Any]:
    """Returns address and port of master `name` as the latest of several Sentinels' own files has it.

    A file is `sentinel.conf` as Sentinel rewrites it: the greatest `config-epoch` belongs to the latest
    failover. Returns an empty mapping if no file names that master.
    """
    found: list[tuple[int, str, int]] = []
    for text in files:
        monitor = re.search(rf"^sentinel monitor {re.escape(name)} (\S+) (\d+) \d+$", text, re.MULTILINE)
        epoch = re.search(rf"^sentinel config-epoch {re.escape(name)} (\d+)$", text, re.MULTILINE)
        if monitor:
            found.append((int(epoch[1]) if epoch else 0, monitor[1], int(monitor[2])))
    if not found:
        return {}
    _, address, port = max(found)
    return {"address": address, "port": port}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"lucid_sentinel_master": sentinel_master}
