"""A desktop is recorded while hosts lose their power and a cable is cut: nothing acknowledged is lost."""

from pathlib import Path

import pytest

from tests.faults.seeds import seeded
from tests.site.breaking import FAULTS, show
from tests.site.recorded import recorded
from tests.site.standing import Site
from tests.site.wellness import recovered


@pytest.mark.timeout(420)
def test_a_recording_outlives_every_host_and_cable_behind_it(site: Site, tmp_path: Path) -> None:
    recovered(site)
    rng = seeded("power cuts and a cut cable while recording")
    with recorded(site, tmp_path) as recording:
        recording.next_chunk()
        recoveries = [fault(site, recording) for fault in rng.sample(FAULTS, len(FAULTS))]
        end = recording.finish()
    show("Recovery while recording", recoveries)
    print(f"{end.manifest.count} chunks, gaps: {end.manifest.gaps}")  # noqa: T201 - for the reader of -s
    print(f"answers kept clients waiting: {recording.silences} s")  # noqa: T201 - for the reader of -s
    recovered(site)
