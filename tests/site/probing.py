"""Programs that tests run on hosts: modules of probes/, which need nothing but the host's own python3.

A probe has a function `main(asked)`; question and answer are JSON. Program and question travel on standard
input: nothing of them stands in an argument list, in a log or on a disk.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab.run import within
from tests.site.standing import Site

PROBES = Path(__file__).parent / "probes"
START = (
    "import json, sys; given = json.load(sys.stdin); names = {}; exec(given['program'], names);"
    "print(json.dumps(names['main'](given['asked'])))"
)


def source(probe: str) -> str:
    """The text of a probe."""
    return (PROBES / f"{probe}.py").read_text()


def on(site: Site, host: str, probe: str, asked: Any, *, seconds: float = 120) -> Any:
    """What a probe answers that runs on a host as root."""
    given = json.dumps({"program": source(probe), "asked": asked})
    return json.loads(site.on(host, "python3", "-c", START, given=given, seconds=seconds).stdout)


def on_each(site: Site, probe: str, asked: Mapping[str, Any], *, seconds: float = 120) -> dict[str, Any]:
    """The same on several hosts at once: answers by host."""
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        answers = pool.map(lambda host: on(site, host, probe, asked[host], seconds=seconds), asked)
        return dict(zip(asked, answers, strict=True))


def beside(site: Site, who: str, probe: str, asked: Any, *, seconds: float = 120) -> Any:
    """What a probe answers in the network of `control`, or of another that is no host of the site."""
    given = json.dumps({"program": source(probe), "asked": asked})
    done = subprocess.run(
        [*within(site.lab.netns(who)), sys.executable, "-c", START],
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=True,
    )
    return json.loads(done.stdout)
