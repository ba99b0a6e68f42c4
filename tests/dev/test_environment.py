"""Each service gets what the catalogue grants it: these secrets, these addresses, and nothing else."""

import socket
import typing
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from lucid import catalog
from lucid.dev import credentials, environment
from lucid.dev.layout import State
from lucid.kit import hosts
from lucid.kit.client import variable
from lucid.kit.settings import Common, Secret

SERVICES = catalog.load().services
STORES = {"mongodb": "mongodb://127.0.0.1:1", "redis": "redis://127.0.0.1:2"}


def _secrets_of(service: catalog.Service) -> tuple[set[str], set[str]]:
    """The secrets in the settings that the service's module, or one that it uses, has: needed, and all."""
    module = import_module(service.app.partition(":")[0])
    used = [
        m for m in vars(module).values() if isinstance(m, ModuleType) and m.__name__ != "lucid.kit.settings"
    ]
    values = [value for m in (module, *used) for value in vars(m).values()]
    kinds = {k for k in values if isinstance(k, type) and issubclass(k, Common)}
    hints = {name: hint for kind in kinds for name, hint in typing.get_type_hints(kind).items()}
    needed = {name for name, hint in hints.items() if hint is Secret}
    return needed, needed | {name for name, hint in hints.items() if hint == Secret | None}


class TestCredentials:
    @pytest.mark.parametrize("name", SERVICES)
    def test_are_secrets_that_the_service_reads_and_all_that_it_needs(self, name: str) -> None:
        needed, known = _secrets_of(SERVICES[name])
        assert needed <= set(SERVICES[name].credentials) <= known

    def test_are_random_private_and_stay_the_same(self, tmp_path: Path) -> None:
        state = State(tmp_path)
        directory = credentials.ensure(state, "chunk-processor")
        found = {path.name: path.read_bytes() for path in directory.iterdir()}
        assert sorted(found) == ["encryption_password", "encryption_salt"]
        assert len(set(found.values())) == 2
        for content in found.values():
            assert len(bytes.fromhex(content.decode())) == credentials.SIZE
            assert content.endswith(b"\n")
        assert directory.stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory.iterdir())
        credentials.ensure(state, "chunk-processor")
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == found


class TestEnvironment:
    @pytest.mark.parametrize("name", SERVICES)
    def test_names_the_callees_and_stores_of_the_catalogue_only(self, name: str, tmp_path: Path) -> None:
        service = SERVICES[name]
        found = environment.of_service(service, SERVICES, State(tmp_path), STORES)
        assert {key for key in found if key.startswith("LUCID_URL_")} == set(map(variable, service.calls))
        assert {key for key in found if key in {"MONGODB_URL", "REDIS_URL"}} == {
            f"{store.upper()}_URL" for store in service.stores
        }

    def test_names_the_one_host_as_the_services_on_it_name_themselves(self, tmp_path: Path) -> None:
        found = environment.of_service(SERVICES["session-api"], SERVICES, State(tmp_path), STORES)
        url = found[variable("session-recorder")]
        assert hosts.read("session-recorder", found) == {socket.gethostname(): url}
        assert [n for n in found if n.startswith("LUCID_URLS_")] == [hosts.variable("session-recorder")]

    def test_uses_the_local_ports_on_loopback(self, tmp_path: Path) -> None:
        found = environment.of_service(SERVICES["api-gateway"], SERVICES, State(tmp_path), STORES)
        port = SERVICES["auth-service"].entry.local_port
        assert found[variable("auth-service")] == f"https://127.0.0.1:{port}"
        assert found["LUCID_PORTS"] == "local"

    def test_passes_on_nothing_that_a_service_has_no_use_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LUCID_TOKEN", "secret")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        found = environment.of_service(SERVICES["session-api"], SERVICES, State(tmp_path), STORES)
        assert "secret" not in found.values()

    def test_gives_each_service_a_private_directory_of_its_own(self, tmp_path: Path) -> None:
        state = State(tmp_path)
        for service in SERVICES.values():
            environment.of_service(service, SERVICES, state, STORES)
        directories = [state.service(name) for name in SERVICES]
        assert all(path.stat().st_mode & 0o777 == 0o700 for path in directories)
