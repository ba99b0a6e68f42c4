"""Prometheus asks every service of the catalogue as that service, and relays the one that it may not ask."""

import json
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from prometheus_client import REGISTRY

from lucid import catalog
from lucid.dev import ca
from lucid.kit.tls import internal_name
from tests.monitoring.test_rules import promtool

ROOT = Path(__file__).parents[2]
CATALOG = yaml.safe_load((ROOT / "lucid/catalog.yml").read_text())
INVENTORY = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())
GROUPS = {name: list(group["hosts"]) for name, group in INVENTORY["all"]["children"].items()}


def rendered(role: str, template: str, **variables: Any) -> str:
    """A role's template with its defaults, as Ansible renders it."""
    environment = jinja2.Environment(  # noqa: S701 - settings, no HTML
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["to_json"] = json.dumps
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
    text = (ROOT / "roles" / role / "templates" / template).read_text()
    return environment.from_string(text).render(
        {**defaults, "ansible_managed": "managed", "groups": GROUPS, **variables}
    )


@pytest.fixture
def scraping(tmp_path: Path) -> Path:
    """The configuration of the lab's Prometheus, with certificates that exist."""
    ca.ensure(tmp_path, ["prometheus"])
    path = tmp_path / "prometheus.yml"
    text = rendered(
        "prometheus",
        "etc/prometheus/prometheus.yml.j2",
        inventory_hostname="mon1",
        prometheus_catalog=CATALOG,
        prometheus_node_hosts=[host for hosts in GROUPS.values() for host in hosts],
        prometheus_tls_directory=str(tmp_path),
        prometheus_tls_ca=str(tmp_path / "ca.crt"),
    )
    path.write_text(text)
    return path


def jobs(path: Path) -> dict[str, Any]:
    return {job["job_name"]: job for job in yaml.safe_load(path.read_text())["scrape_configs"]}


def test_prometheus_accepts_its_configuration(scraping: Path) -> None:
    checked = promtool("check", "config", str(scraping))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_service_is_asked_under_its_own_name_on_every_host_of_its_group(scraping: Path) -> None:
    found = jobs(scraping)
    services = catalog.load().services.values()
    mutual = [service for service in services if service.mutual]
    assert set(found) == {"prometheus", "alertmanager", "node", *(service.name for service in mutual)}
    for service in mutual:
        job = found[service.name]
        assert job["scheme"] == "https"
        assert job["tls_config"]["server_name"] == internal_name(service.name)
        assert job["static_configs"] == [
            {
                "targets": [f"{host}:{service.entry.port}"],
                "labels": {"host": host, "service": service.name, "cluster": service.cluster},
            }
            for host in GROUPS[service.group]
        ]


def test_every_host_is_asked(scraping: Path) -> None:
    targets = [target for config in jobs(scraping)["node"]["static_configs"] for target in config["targets"]]
    assert targets == sorted(f"{host}:9100" for hosts in GROUPS.values() for host in hosts)


def test_a_service_without_mutual_tls_is_asked_on_its_own_host_over_loopback() -> None:
    def unit(group: str) -> str:
        return rendered(
            "node_exporter",
            "etc/systemd/system/lucid-host-metrics.service.j2",
            node_exporter_catalog=CATALOG,
            group_names=[group],
        )

    relayed = {
        service.name: service.group for service in catalog.load().services.values() if not service.mutual
    }
    assert relayed
    for name, group in relayed.items():
        assert f"--service {name} " in unit(group)
        assert "http://127.0.0.1:" in unit(group)
    assert "--service" not in unit("data")


def test_no_metric_has_a_label_that_is_added_to_it_on_the_way() -> None:
    for service in catalog.load().services.values():
        import_module(service.app.partition(":")[0])
    for collector in list(REGISTRY._collector_to_names):
        own = {*getattr(collector, "_labelnames", ())}
        assert not own & {"service", "cluster", "host", "job", "instance"}, REGISTRY._collector_to_names[
            collector
        ]


@pytest.mark.parametrize(
    ("role", "unit", "threshold"),
    [
        ("node_exporter", "etc/systemd/system/lucid-host-metrics.service.j2", 25),
        # As drop-ins these change the package's unit; alone they are as strict as what they add.
        ("node_exporter", "etc/systemd/system/prometheus-node-exporter.service.d/lucid.conf.j2", 25),
        ("alertmanager", "etc/systemd/system/prometheus-alertmanager.service.d/lucid.conf.j2", 25),
    ],
)
def test_units_are_sandboxed(tmp_path: Path, role: str, unit: str, threshold: int) -> None:
    text = rendered(
        role, unit, node_exporter_collectors=["cpu"], node_exporter_catalog=CATALOG, group_names=[]
    )
    path = tmp_path / f"{role.replace('_', '-')}.service"
    path.write_text(text.replace("[Service]", "[Service]\nUser=prometheus", 1))
    options = ["--offline=true", f"--threshold={threshold}", "--no-pager"]
    command = ["systemd-analyze", "security", *options, str(path)]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr
