"""The alert rules: well formed, ringing when they should, and about metrics that exist."""

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from lucid import catalog
from lucid.rdp import monitor_metrics
from roles.node_exporter.files.usr.local.libexec.lucid import host_metrics

DIRECTORY = Path(__file__).parents[2] / "files/prometheus"
RULES = sorted(DIRECTORY.glob("*rules.yml"))
TESTS = sorted(DIRECTORY.glob("*rules_test.yml"))


def rules() -> list[dict[str, Any]]:
    """All rules of all files."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))
    if path is None:
        pytest.fail("promtool is not on PATH; it comes with the Debian package `prometheus`")
    return subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_are_well_formed() -> None:
    checked = promtool("check", "rules", "--lint-fatal", *map(str, RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_ring_when_they_should_and_not_otherwise() -> None:
    tested = promtool("test", "rules", *map(str, TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested_to_ring() -> None:
    alerts = {(rule["alert"], rule["labels"]["severity"]) for rule in rules() if "alert" in rule}
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    rung = {
        (case["alertname"], alert["exp_labels"]["severity"])
        for test in tests
        for case in test["alert_rule_test"]
        for alert in case["exp_alerts"]
    }
    assert alerts == rung


def test_are_about_metrics_that_services_and_hosts_have() -> None:
    for service in catalog.load().services.values():
        import_module(service.app.partition(":")[0])
    known = {
        sample
        for metric in REGISTRY.collect()
        for sample in (metric.name, *(f"{metric.name}_{end}" for end in ("total", "bucket", "count")))
    }
    known |= {f"lucid_rdp_{name}{end}" for name in monitor_metrics.OF_HOST for end in ("", "_total")}
    known |= {
        f"lucid_rdp_session_{name}{end}" for name in monitor_metrics.OF_SESSIONS for end in ("", "_total")
    }
    known |= set(re.findall(r"lucid_\w+", Path(host_metrics.__file__).read_text()))
    named = set(re.findall(r"(?:[a-z]+:)?\blucid_\w+", "\n".join(rule["expr"] for rule in rules())))
    assert {name for name in named if ":" not in name} <= known
