"""The alert rules: well formed, ringing when they should, and about metrics that exist."""

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from lucid import catalog

DIRECTORY = Path(__file__).parents[2] / "files/prometheus"
RULES = DIRECTORY / "rules.yml"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))
    if path is None:
        pytest.fail("promtool is not on PATH; it comes with the Debian package `prometheus`")
    return subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_are_well_formed() -> None:
    checked = promtool("check", "rules", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_ring_when_they_should_and_not_otherwise() -> None:
    tested = promtool("test", "rules", str(RULES.with_name("rules_test.yml")))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested_to_ring() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {
        (rule["alert"], rule["labels"]["severity"])
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    }
    tests = yaml.safe_load((DIRECTORY / "rules_test.yml").read_text())["tests"]
    rung = {
        (case["alertname"], alert["exp_labels"]["severity"])
        for test in tests
        for case in test["alert_rule_test"]
        for alert in case["exp_alerts"]
    }
    assert alerts == rung


def test_are_about_metrics_that_services_have() -> None:
    for service in catalog.load().services.values():
        import_module(service.app.partition(":")[0])
    known = {
        sample
        for metric in REGISTRY.collect()
        for sample in (metric.name, *(f"{metric.name}_{end}" for end in ("total", "bucket", "count")))
    }
    expressions = [
        rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    named = set(re.findall(r"(?:[a-z]+:)?\blucid_\w+", "\n".join(expressions)))
    assert {name for name in named if ":" not in name} <= known
