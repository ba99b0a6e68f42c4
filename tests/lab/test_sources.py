"""Package sources are read as apt reads them, and only the machine's own release is passed on."""

from pathlib import Path

import pytest

from lab import sources
from lab.errors import LabError

RELEASE = sources.codename()


def test_both_formats_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        f"# deb http://old.invalid/debian {RELEASE} main\n"
        f"deb [arch=amd64 signed-by=/k.gpg] https://one.invalid/debian/ {RELEASE} main contrib # ours\n"
    )
    (tmp_path / "sources.list.d" / "two.sources").write_text(
        "Types: deb deb-src\n# a note\nURIs: http://two.invalid/debian\n"
        f"Suites: {RELEASE} {RELEASE}-updates\nComponents: main\nSigned-By: /k2.gpg\n"
    )
    one, two = sources.of_this_machine(tmp_path)
    assert one.lines() == f"deb [signed-by=/k.gpg] https://one.invalid/debian {RELEASE} main contrib\n"
    assert two.lines().splitlines() == [
        f"deb [signed-by=/k2.gpg] http://two.invalid/debian {RELEASE} main",
        f"deb [signed-by=/k2.gpg] http://two.invalid/debian {RELEASE}-updates main",
    ]


def test_hosts_ask_a_tls_mirror_in_plain_words_since_the_proxy_speaks_tls(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(f"deb https://one.invalid/debian {RELEASE} main\n")
    (source,) = sources.of_this_machine(tmp_path)
    assert source.lines(plain=True) == f"deb http://one.invalid/debian {RELEASE} main\n"


def test_sources_of_other_programs_and_disabled_ones_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb https://other.invalid/node nodistro main\n")
    (tmp_path / "sources.list.d" / "off.sources").write_text(
        f"Enabled: no\nTypes: deb\nURIs: http://off.invalid/debian\nSuites: {RELEASE}\nComponents: main\n"
    )
    with pytest.raises(LabError, match=f"no source of packages for {RELEASE}"):
        sources.of_this_machine(tmp_path)
