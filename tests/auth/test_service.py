"""auth-service as its callers meet it: the real application over mutual TLS, with a real MongoDB."""

import statistics
import time
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from lucid.auth import service
from lucid.auth.tokens import Signer
from lucid.contracts import auth_service as contract
from lucid.kit import context
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, LucidError
from lucid.kit.routes import NOTHING
from lucid.kit.settings import SettingsError
from lucid.kit.tls import internal_name
from tests.auth.live import BOOTSTRAP_TOKEN, PASSWORD, TOKEN_KEY, Deployment

MAIL = "anna@example.org"


@pytest.fixture
async def client(deployment: Deployment, quick_hashes: None) -> AsyncIterator[ServiceClient]:
    async with deployment.serve(await service.create()):
        made = deployment.calls("api-gateway", [contract.SERVICE])
        yield made
        await made.close()


async def register(client: ServiceClient, email: str = MAIL, **more: str) -> contract.User:
    body = contract.Register(**({"email": email, "password": PASSWORD} | more))
    return await client.call(contract.REGISTER, NOTHING, body)


async def login(client: ServiceClient, email: str = MAIL, password: str = PASSWORD) -> contract.Tokens:
    return await client.call(contract.LOGIN, NOTHING, contract.Login(email=email, password=password))


def bearing(token: str) -> None:
    context.authorization.set(f"Bearer {token}")


class TestRegistration:
    async def test_makes_a_user_under_the_lower_cased_address(self, client: ServiceClient) -> None:
        user = await register(client, "Anna@Example.org")
        assert (user.email, user.role) == (MAIL, "user")
        assert uuid.UUID(user.id).version == 4

    async def test_refuses_with_the_code_that_says_why(self, client: ServiceClient) -> None:
        for fields, code in (
            ({"email": "not an address"}, Code.MAIL_ADDRESS),
            ({"password": "too short"}, Code.WEAK_PASSWORD),
            ({"password": MAIL}, Code.WEAK_PASSWORD),
            ({"password": "x" * 1025}, Code.OUT_OF_RANGE),
            ({"bootstrap_token": "wrong"}, Code.PERMISSION),
            ({"bootstrap_token": ""}, Code.PERMISSION),
        ):
            with pytest.raises(LucidError) as refusal:
                await register(client, **fields)
            assert refusal.value.code is code, fields

    async def test_an_address_in_other_case_is_the_same_account(self, client: ServiceClient) -> None:
        await register(client)
        with pytest.raises(LucidError) as refusal:
            await register(client, MAIL.upper())
        assert refusal.value.code is Code.EXISTS

    async def test_the_bootstrap_token_makes_one_super_admin_once(self, client: ServiceClient) -> None:
        root = await register(client, "root@example.org", bootstrap_token=BOOTSTRAP_TOKEN)
        assert root.role == "super_admin"
        with pytest.raises(LucidError) as refusal:
            await register(client, "second@example.org", bootstrap_token=BOOTSTRAP_TOKEN)
        assert refusal.value.code is Code.EXISTS


class TestLogin:
    async def test_gives_a_token_that_speaks_for_the_account(self, client: ServiceClient) -> None:
        user = await register(client)
        tokens = await login(client, MAIL.upper())
        assert (tokens.token_type, tokens.expires_in) == ("Bearer", 900)
        bearing(tokens.access_token)
        assert await client.call(contract.ME, NOTHING) == user
        said = await client.call(contract.STATUS, NOTHING)
        assert (said.user, said.role) == (user.id, "user")

    async def test_an_unknown_account_and_a_wrong_password_sound_the_same(
        self, client: ServiceClient
    ) -> None:
        await register(client)
        heard = set()
        for email, password in ((MAIL, "seven wet horses 8"), ("nobody@example.org", PASSWORD), ("?", "?")):
            with pytest.raises(LucidError) as refusal:
                await login(client, email, password)
            heard.add((refusal.value.code, refusal.value.message))
        assert heard == {(Code.AUTHENTICATION_REQUIRED, "mail address and password do not belong together")}

    async def test_an_unknown_account_takes_as_long_as_a_wrong_password(self, deployment: Deployment) -> None:
        seconds: dict[str, list[float]] = {MAIL: [], "nobody@example.org": []}
        async with deployment.serve(await service.create()):
            client = deployment.calls("api-gateway", [contract.SERVICE])
            await register(client)
            for _ in range(3):
                for email, measured in seconds.items():
                    begin = time.perf_counter()
                    with pytest.raises(LucidError):
                        await login(client, email, "seven wet horses 8")
                    measured.append(time.perf_counter() - begin)
            await client.close()
        known, unknown = (statistics.median(measured) for measured in seconds.values())
        # Without a hash to check against, an unknown account would answer in a tenth of the time.
        assert unknown > known / 2


class TestTokens:
    async def test_the_published_key_is_the_public_half_alone(self, client: ServiceClient) -> None:
        keys = await client.call(contract.JWKS, NOTHING)
        assert keys == Signer(TOKEN_KEY).jwks

    async def test_one_whose_account_is_gone_is_refused(self, client: ServiceClient) -> None:
        bearing(Signer(TOKEN_KEY).mint(str(uuid.uuid4()), "user", int(time.time()), "s"))
        with pytest.raises(LucidError) as refusal:
            await client.call(contract.ME, NOTHING)
        assert refusal.value.code is Code.TOKEN_INVALID


class TestRoles:
    async def test_a_super_admin_gives_one_that_the_next_login_carries(self, client: ServiceClient) -> None:
        await register(client, "root@example.org", bootstrap_token=BOOTSTRAP_TOKEN)
        user = await register(client)
        bearing((await login(client, "root@example.org")).access_token)
        path = contract.UserPath(user=user.id)
        changed = await client.call(contract.CHANGE_ROLE, path, contract.ChangeRole(role="admin"))
        assert changed.role == "admin"
        bearing((await login(client)).access_token)
        assert (await client.call(contract.STATUS, NOTHING)).role == "admin"

    async def test_an_admin_gives_none(self, client: ServiceClient) -> None:
        user = await register(client)
        bearing(Signer(TOKEN_KEY).mint(user.id, "admin", int(time.time()), "s"))
        with pytest.raises(LucidError) as refusal:
            await client.call(
                contract.CHANGE_ROLE, contract.UserPath(user=user.id), contract.ChangeRole(role="super_admin")
            )
        assert refusal.value.code is Code.PERMISSION


class TestCallers:
    @pytest.mark.usefixtures("client")
    async def test_a_service_that_the_catalogue_does_not_name_is_refused(
        self, deployment: Deployment
    ) -> None:
        stranger = deployment.calls("session-storage", [contract.SERVICE])
        with pytest.raises(LucidError, match="session-storage") as refusal:
            await stranger.call(contract.JWKS, NOTHING)
        await stranger.close()
        assert refusal.value.code is Code.PERMISSION

    async def test_metrics_count_logins_by_outcome(
        self, client: ServiceClient, deployment: Deployment
    ) -> None:
        await register(client)
        await login(client)
        with pytest.raises(LucidError):
            await login(client, password="seven wet horses 8")
        url = f"https://127.0.0.1:{deployment.ports[contract.SERVICE]}/metrics"
        tls = deployment.tls_of("prometheus")
        name = internal_name(contract.SERVICE)
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=tls, server_hostname=name) as answer,
        ):
            text = await answer.text()
        assert 'lucid_auth_attempts_total{outcome="accepted"}' in text
        assert 'lucid_auth_attempts_total{outcome="refused"}' in text


class TestStart:
    @pytest.mark.parametrize("value", ["00" * 31, "00" * 33, "not hex", "zz" * 32])
    async def test_a_key_that_is_none_is_named_and_not_shown(
        self, deployment: Deployment, value: str
    ) -> None:
        (deployment.credentials / "token_key").write_text(value)
        with pytest.raises(SettingsError, match="credential token_key must be 64 hex digits") as refusal:
            await service.create()
        assert value not in str(refusal.value)

    @pytest.mark.usefixtures("deployment")
    async def test_a_missing_database_address_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MONGODB_URL")
        with pytest.raises(SettingsError, match="MONGODB_URL: is missing"):
            await service.create()

    def test_passwords_and_tokens_do_not_show_in_a_repr(self) -> None:
        shown = [
            repr(contract.Register(email=MAIL, password=PASSWORD, bootstrap_token=BOOTSTRAP_TOKEN)),
            repr(contract.Login(email=MAIL, password=PASSWORD)),
            repr(
                contract.Tokens(
                    access_token=BOOTSTRAP_TOKEN,
                    expires_in=900,
                    refresh_token=PASSWORD,
                    refresh_expires_in=9,
                    session="s",
                )
            ),
        ]
        assert not [text for text in shown if PASSWORD in text or BOOTSTRAP_TOKEN in text]
