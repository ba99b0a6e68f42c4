"""What README.md says of the catalogue and of the commands is what they say themselves."""

import re
from pathlib import Path

from lucid import catalog
from lucid.cli import COMMANDS
from lucid.cli.services import markdown_table

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_table_of_services_is_the_catalogue() -> None:
    assert markdown_table(catalog.load().services.values()) in README, "see `lucid services --markdown`"


def test_every_command_it_shows_exists() -> None:
    shown = set(re.findall(r"^    lucid ([a-z]+)", README, re.MULTILINE))
    assert shown
    assert shown <= set(COMMANDS)


def test_every_file_that_it_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target


def test_every_decision_is_listed() -> None:
    directory = Path(__file__).parents[1] / "docs" / "decisions"
    listed = set(re.findall(r"\(([a-z0-9-]+\.md)\)", (directory / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in directory.glob("*.md")} - {"README.md"}
