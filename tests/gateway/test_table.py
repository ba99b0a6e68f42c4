"""Which operations stand behind the gateway."""

from importlib import import_module

import pytest

from lucid import catalog
from lucid.contracts import (
    auth_service,
    blockchain_engine,
    rdp_manager,
    resource_monitor,
    session_api,
    session_controller,
)
from lucid.gateway.table import public_routes
from lucid.kit.routes import Access

SERVICE = """
  {name}:
    cluster: auth
    group: core
    app: lucid.auth.service:create
    contract: lucid.contracts.{contract}
    expose: {expose}
    listen: [{{name: internal, port: {port}, local_port: {port}, tls: mutual}}]
    workers: 1
    memory: 512M
    cpu: 50
    stores: []
    calls: []
"""


PARTS = ("groups", "stores", "observers", "exporters", "carriers", "listeners")


def small_catalog(**contracts: tuple[str, bool]) -> catalog.Catalog:
    services = [
        SERVICE.format(name=name, contract=contract, expose=str(expose).lower(), port=8000 + i)
        for i, (name, (contract, expose)) in enumerate(contracts.items())
    ]
    return catalog.parse(
        "".join(f"{part}: {{}}\n" for part in PARTS) + "services:" + "".join(services),
        "small.yml",
    )


def test_holds_every_route_with_an_outside_audience_of_every_exposed_service() -> None:
    found = public_routes(catalog.load())
    expected = [
        route
        for service in catalog.load().exposed()
        for route in import_module(service.contract).ROUTES
        if route.access is not Access.INTERNAL
    ]
    assert list(found) == expected
    assert {session_api.LIST, auth_service.ME, rdp_manager.CREATE, blockchain_engine.TRUST} <= set(found)
    assert not {session_controller.LIST, resource_monitor.SESSIONS} & set(found), "though others are named so"


def test_leaves_out_services_that_are_not_exposed() -> None:
    assert public_routes(small_catalog(auth=("auth_service", False))) == ()


def test_refuses_an_operation_that_two_services_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    rival = auth_service.CHANGE_ROLE.__class__(
        "rival", "PUT", "/users/{person}/role", auth_service.UserPath, auth_service.ChangeRole,
        auth_service.User, "The same under another parameter's name", access=Access.USER,
    )  # fmt: skip
    monkeypatch.setattr(session_api, "ROUTES", (rival,))
    two = small_catalog(auth=("auth_service", True), api=("session_api", True))
    with pytest.raises(ValueError, match=r"PUT /users/\{person\}/role is claimed by auth-service and rival"):
        public_routes(two)
