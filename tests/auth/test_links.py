"""Login links by mail, through a real mail server on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from prometheus_client import REGISTRY
from pymongo import MongoClient

from lucid.auth import links, service
from lucid.auth.opaque import digest
from lucid.contracts import auth_service as contract
from lucid.dev import ca
from lucid.dev.servers import free_port
from lucid.kit.errors import Code, LucidError
from lucid.kit.settings import SettingsError
from tests.auth.desk import MAIL, Desk
from tests.auth.live import PASSWORD as USERS_PASSWORD
from tests.auth.live import Deployment
from tests.auth.test_second_factor import enrolled

PASSWORD = "of the mail server"


class Mailbox:
    """Takes mail from those who have logged in over TLS."""

    def __init__(self) -> None:
        self._mails: asyncio.Queue[EmailMessage] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        assert isinstance(envelope.content, bytes)
        # The server runs in a thread of its own.
        mail = message_from_bytes(envelope.content, EmailMessage, policy=policy.default)
        self._loop.call_soon_threadsafe(self._mails.put_nowait, mail)
        return "250 taken"

    async def next(self) -> EmailMessage:
        """The mail that comes next."""
        async with asyncio.timeout(10):
            return await self._mails.get()

    @property
    def waiting(self) -> int:
        """How many mails nobody has looked at."""
        return self._mails.qsize()

    async def code(self) -> str:
        """The code in the mail that comes next."""
        return after("Code: ", await self.next())


def after(words: str, mail: EmailMessage) -> str:
    """What follows these words in a mail, up to the next gap."""
    return str(mail.get_content()).partition(words)[2].split()[0]


def known(_: SMTP, __: Session, ___: Envelope, ____: str, given: object) -> AuthResult:
    right = LoginPassword(b"lucid", PASSWORD.encode())
    return AuthResult(success=given == right)


@pytest.fixture
def mail_tls(tmp_path: Path) -> Path:
    """Authority and certificate of the mail server: it is none of Lucid's."""
    directory = tmp_path / "mail"
    ca.ensure(directory, ["mail"], extra_addresses=["127.0.0.1"])
    return directory


@pytest.fixture
async def mailbox(mail_tls: Path) -> AsyncIterator[tuple[Mailbox, int]]:
    box = Mailbox()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(mail_tls / "mail.crt", mail_tls / "mail.key")
    port = free_port()
    server = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        tls_context=tls,
        require_starttls=True,
        authenticator=known,
        auth_required=True,
    )
    server.start()
    yield box, port
    server.stop()


@pytest.fixture
def settings(
    deployment: Deployment, mail_tls: Path, mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (deployment.credentials / "smtp_password").write_text(PASSWORD + "\n")
    for name, value in {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mailbox[1]),
        "SMTP_CA_FILE": str(mail_tls / "ca.crt"),
        "SMTP_USER": "lucid",
        "SMTP_FROM": "lucid@example.org",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def posting(settings: None, quick_hashes: None, deployment: Deployment) -> AsyncIterator[Desk]:
    """A door to an auth-service that can send mail."""
    async with deployment.serve(await service.create()):
        calls = deployment.calls("api-gateway", [contract.SERVICE])
        yield Desk(calls)
        await calls.close()


def asking(email: str = MAIL) -> contract.LinkRequest:
    return contract.LinkRequest(email=email)


class TestALink:
    async def test_comes_by_mail_and_logs_in_once(self, posting: Desk, mailbox: tuple[Mailbox, int]) -> None:
        user = await posting.register()
        await posting.ask(contract.LINK_REQUEST, asking(MAIL.upper()))
        mail = await mailbox[0].next()
        assert (mail["To"], mail["Subject"]) == (MAIL, "Log in to Lucid")
        login = contract.LinkLogin(token=after("Code: ", mail))
        results = await asyncio.gather(
            *(posting.ask(contract.LINK_LOGIN, login) for _ in range(4)), return_exceptions=True
        )
        (given,) = [r for r in results if isinstance(r, contract.Tokens)]
        assert {r.code for r in results if isinstance(r, LucidError)} == {Code.LINK_EXPIRED}
        assert (await posting.ask(contract.STATUS, token=given.access_token)).user == user.id

    async def test_is_worthless_after_its_time_and_after_a_new_password(
        self, posting: Desk, mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, tokens = await posting.joined()
        await posting.ask(contract.LINK_REQUEST, asking())
        before = await mailbox[0].code()
        update = contract.UpdateMe(password=USERS_PASSWORD, new_password="eight dry camels 8")
        await posting.ask(contract.UPDATE_ME, update, token=tokens.access_token)
        monkeypatch.setattr(links, "LINK_SECONDS", 0)
        await posting.ask(contract.LINK_REQUEST, asking())
        late = await mailbox[0].code()
        for token in (before, late, "x" * 43, ""):
            body = contract.LinkLogin(token=token)
            assert await posting.code(contract.LINK_LOGIN, body) is Code.LINK_EXPIRED

    async def test_does_not_stand_for_the_second_factor(
        self, posting: Desk, mailbox: tuple[Mailbox, int]
    ) -> None:
        _, tokens = await posting.joined()
        phone, _ = await enrolled(posting, tokens.access_token)
        await posting.ask(contract.LINK_REQUEST, asking())
        token = await mailbox[0].code()
        assert await posting.code(contract.LINK_LOGIN, contract.LinkLogin(token=token)) is (
            Code.SECOND_FACTOR
        )
        await posting.ask(contract.LINK_LOGIN, contract.LinkLogin(token=token, totp=phone.code()))

    async def test_is_kept_as_a_hash_only(
        self, posting: Desk, mailbox: tuple[Mailbox, int], mongodb_url: str
    ) -> None:
        user = await posting.register()
        await posting.ask(contract.LINK_REQUEST, asking())
        token = await mailbox[0].code()
        with MongoClient[dict[str, Any]](mongodb_url) as client:
            (kept,) = client["lucid"]["tickets"].find({"subject": user.id})
        assert kept["_id"] == digest(token)
        assert token not in str(kept)


class TestARequest:
    async def test_for_an_unknown_address_is_answered_alike_and_sends_nothing(
        self, posting: Desk, mailbox: tuple[Mailbox, int]
    ) -> None:
        await posting.register()
        await posting.ask(contract.LINK_REQUEST, asking("nobody@example.org"))
        await posting.ask(contract.LINK_REQUEST, asking())
        assert (await mailbox[0].next())["To"] == MAIL
        assert mailbox[0].waiting == 0
        refused = await posting.code(contract.LINK_REQUEST, asking("no address"))
        assert refused is Code.MAIL_ADDRESS

    async def test_made_again_and_again_fills_no_mailbox(
        self, posting: Desk, mailbox: tuple[Mailbox, int]
    ) -> None:
        await posting.register()
        for _ in range(links.OPEN_LINKS):
            await posting.ask(contract.LINK_REQUEST, asking())
            await mailbox[0].next()
        await posting.ask(contract.LINK_REQUEST, asking())
        await posting.register("bert@example.org")
        await posting.ask(contract.LINK_REQUEST, asking("bert@example.org"))
        assert (await mailbox[0].next())["To"] == "bert@example.org"

    async def test_without_a_mail_server_is_503_and_says_what_to_set(self, desk: Desk) -> None:
        refusal = await desk.refused(contract.LINK_REQUEST, asking())
        assert (refusal.code, refusal.code.status) == (Code.CONFIGURATION, 503)
        assert "SMTP_HOST" in refusal.message
        login = contract.LinkLogin(token="x")
        assert await desk.code(contract.LINK_LOGIN, login) is Code.CONFIGURATION


class TestAFailure:
    @pytest.mark.usefixtures("settings", "quick_hashes")
    async def test_to_send_is_counted_and_does_not_show(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SMTP_PORT", str(free_port()))
        before = failed()
        async with deployment.serve(await service.create()):
            calls = deployment.calls("api-gateway", [contract.SERVICE])
            await Desk(calls).register()
            await Desk(calls).ask(contract.LINK_REQUEST, asking())
            await calls.close()
        assert failed() == before + 1


@pytest.mark.usefixtures("settings", "quick_hashes")
async def test_the_operator_s_page_is_named_with_the_code_where_there_is_one(
    deployment: Deployment, mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINK_URL", "https://lucid.example.org/login#code=")
    monkeypatch.setenv("SITE_NAME", "Lucid at Example")
    async with deployment.serve(await service.create()):
        calls = deployment.calls("api-gateway", [contract.SERVICE])
        await Desk(calls).register()
        await Desk(calls).ask(contract.LINK_REQUEST, asking())
        mail = await mailbox[0].next()
        token = after("https://lucid.example.org/login#code=", mail)
        await Desk(calls).ask(contract.LINK_LOGIN, contract.LinkLogin(token=token))
        await calls.close()
    assert mail["Subject"] == "Log in to Lucid at Example"


class TestSettings:
    @pytest.mark.usefixtures("settings")
    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("SMTP_FROM", "", "SMTP_FROM: is missing"),
            ("SMTP_CA_FILE", "/nowhere/ca.crt", "SMTP_CA_FILE /nowhere/ca.crt cannot be read"),
            ("SMTP_TLS", "maybe", "SMTP_TLS: Invalid enum value"),
            ("SMTP_HOST", "mail.example.org", "SMTP_TLS none is for a mail server on this host"),
        ],
    )
    async def test_that_do_not_fit_are_named(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
    ) -> None:
        monkeypatch.setenv("SMTP_TLS", "none")
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError, match=words):
            await service.create()


def failed() -> float:
    return REGISTRY.get_sample_value("lucid_auth_mails_total", {"outcome": "failed"}) or 0.0
