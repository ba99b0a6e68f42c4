"""The site's vault file as its operator reads it, and whether passwords from it are accepted."""

from typing import Any

import yaml

from tests.site import probing
from tests.site.standing import Site

ROTATE = "playbooks/rotate_secrets.yml"


def vault(site: Site) -> dict[str, Any]:
    """All secrets of the site."""
    shown = site.control("ansible-vault", "view", str(site.lab.state / "secrets.yml"))
    found: dict[str, Any] = yaml.safe_load(shown.stdout)
    return found


def passwords(found: dict[str, Any]) -> dict[str, str]:
    """The administrator's password of each database."""
    return {
        "redis": found["vault_redis_passwords"]["admin"],
        "mongodb": found["vault_mongodb_admin_password"],
    }


def accepted(site: Site, given: dict[str, str]) -> dict[str, bool]:
    """Whether these passwords are; by database."""
    answers: dict[str, bool] = probing.on(site, "data1", "logins", given)
    return answers
