"""What a deployment may have otherwise than the catalogue says."""

import os
import subprocess
import sys

import pytest

from lucid import catalog, variants
from lucid.catalog import Catalog

SHIPPED = catalog.load()
GATEWAY = {"api-gateway", "auth-service"}


def deployed(**environ: str) -> Catalog:
    return variants.deployed(SHIPPED, environ)


class TestServices:
    def test_are_all_of_them_unless_some_are_named(self) -> None:
        assert deployed() == deployed(LUCID_SERVICES="") == SHIPPED

    def test_that_are_left_out_are_called_by_nobody(self) -> None:
        found = deployed(LUCID_SERVICES="auth-service, api-gateway")
        assert set(found.services) == GATEWAY
        assert found.services["api-gateway"].calls == ("auth-service",)
        assert [service.name for service in found.exposed()] == ["auth-service"]
        assert found.start_order() == ("auth-service", "api-gateway")

    @pytest.mark.parametrize(
        ("names", "reason"),
        [
            ("api-gateway,nothing", "LUCID_SERVICES: `nothing` is none of the services auth-service, "),
            ("api-gateway", "LUCID_SERVICES: api-gateway cannot do without auth-service; name that too"),
            ("session-api,auth-service", "session-api cannot do without blockchain-engine"),
        ],
    )
    def test_that_cannot_work_are_refused_with_the_reason(self, names: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            deployed(LUCID_SERVICES=names)


class TestPorts:
    def test_for_people_are_where_the_deployment_says(self) -> None:
        found = deployed(LUCID_PUBLIC_PORTS="api-gateway:8000").services["api-gateway"]
        assert {item.name: item.port for item in found.listen} == {"https": 8000, "http": 8080, "onion": 8079}
        assert found.entry.local_port == SHIPPED.services["api-gateway"].entry.local_port

    @pytest.mark.parametrize(
        ("ports", "reason"),
        [
            ("api-gateway", "`api-gateway` does not read as api-gateway:8000"),
            ("api-gateway:https", "does not read as"),
            ("api-gateway:70000", "70000 of api-gateway is no port; they go from 1 to 65535"),
            ("auth-service:8000", "auth-service has no socket for people; api-gateway has"),
            ("nothing:8000", "`nothing` is none of the services"),
        ],
    )
    def test_that_make_no_sense_are_refused_with_the_reason(self, ports: str, reason: str) -> None:
        with pytest.raises(ValueError, match=f"LUCID_PUBLIC_PORTS: .*{reason}"):
            deployed(LUCID_PUBLIC_PORTS=ports)

    def test_are_those_of_one_shared_machine_where_groups_share_it(self) -> None:
        found = deployed(LUCID_PORTS="local", LUCID_PORT_OFFSET="100")
        for name, service in SHIPPED.services.items():
            assert [item.port for item in found.services[name].listen] == [
                item.local_port + 100 for item in service.listen
            ]
        assert {name: store.ports for name, store in found.stores.items()} == {
            name: store.ports for name, store in SHIPPED.stores.items()
        }

    def test_for_people_may_be_elsewhere_on_a_shared_machine_too(self) -> None:
        found = deployed(LUCID_PUBLIC_PORTS="api-gateway:8000", LUCID_PORTS="local").services
        assert found["api-gateway"].entry.port == 8000
        assert found["auth-service"].entry.port == SHIPPED.services["auth-service"].entry.local_port

    def test_of_hosts_are_what_there_is_otherwise(self) -> None:
        assert deployed(LUCID_PORTS="hosts") == deployed(LUCID_PORTS="") == SHIPPED
        with pytest.raises(ValueError, match="LUCID_PORTS: `some` is neither hosts nor local"):
            deployed(LUCID_PORTS="some")

    def test_of_one_machine_are_shifted_all_together(self) -> None:
        found = deployed(LUCID_PORT_OFFSET="100")
        assert found.services["api-gateway"].entry.local_port == (
            SHIPPED.services["api-gateway"].entry.local_port + 100
        )
        assert found.stores["redis"].local_port == SHIPPED.stores["redis"].local_port + 100
        for wrong in ("-1", "x", "30001"):
            with pytest.raises(ValueError, match="LUCID_PORT_OFFSET"):
                deployed(LUCID_PORT_OFFSET=wrong)


class TestVariables:
    def test_tell_a_service_what_the_inventory_says(self) -> None:
        told = variants.variables(("auth-service", "api-gateway"), {"api-gateway": 8000})
        assert variants.deployed(SHIPPED, told) == variants.moved(
            variants.only(SHIPPED, GATEWAY), {"api-gateway": 8000}
        )

    def test_are_none_where_nothing_differs(self) -> None:
        assert variants.variables((), {}) == {}


def test_contracts_do_not_settle_what_the_environment_will_say() -> None:
    """Whoever imports them may choose ports later; a wrong choice is told where it is read."""
    code = """
import importlib, os, pkgutil
import lucid.contracts
for module in pkgutil.iter_modules(lucid.contracts.__path__, "lucid.contracts."):
    importlib.import_module(module.name)
os.environ["LUCID_PORT_OFFSET"] = "100"
from lucid import catalog
assert catalog.load() != catalog.shipped()
"""
    environment = os.environ | {"LUCID_PORT_OFFSET": "nonsense"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
