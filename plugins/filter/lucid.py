"""Ansible filters over the catalogue; all of them are functions of lucid.deploy.filters.

Ansible loads this file in a process of its own for each task and host: Lucid is imported only where a filter
is used.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

NAMES = (
    "firewall",
    "units",
    "users",
    "certificates",
    "problems",
    "present",
    "database_users",
    "redis_users",
    "new_secrets",
    "credentials",
    "onion",
    "certificate_for_people",
    "supplied_problems",
    "rotation_chosen",
    "rotation_begun",
    "rotation_step",
    "rotation_wait",
    "rotation_parts",
    "rotation_services",
    "sign",
)
SOURCES = str(Path(__file__).parents[2])  # the playbooks' own version of Lucid, installed or not


def _apply(name: str, *arguments: Any) -> Any:
    if SOURCES not in sys.path:
        sys.path.insert(0, SOURCES)
    refused = import_module("lucid.deploy.errors").SiteError
    try:
        return getattr(import_module("lucid.deploy.filters"), name)(*arguments)
    except refused as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {f"lucid_{name}": partial(_apply, name) for name in NAMES}
