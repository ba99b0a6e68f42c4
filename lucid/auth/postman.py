"""Mail, sent in the background over a server of the operator's (RFC 5321, RFC 3207)."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Annotated, Literal, NamedTuple

import aiosmtplib
from msgspec import Meta
from prometheus_client import Counter
from pymongo.errors import PyMongoError

from lucid.kit import context, settings
from lucid.kit.errors import Unavailable
from lucid.kit.logs import log

mails_total = Counter("lucid_auth_mails_total", "Login links sent by mail.", ["outcome"])

SEND_SECONDS = 30.0
MOST_WAITING = 64
CLOSE_SECONDS = 5.0
"""How long a service that stops waits for letters that are on their way."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class MailSettings(settings.Common, frozen=True, kw_only=True):
    """How mail is sent. Without a host there are no login links."""

    smtp_host: Annotated[
        str, Meta(description="mail server; empty: no mail", examples=["mail.example.org"])
    ] = ""
    smtp_port: Annotated[int, Meta(ge=1, le=65535, description="its port", examples=[587])] = 587
    smtp_tls: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="how it is protected; none for a server on this host only", examples=["starttls"]),
    ] = "starttls"
    smtp_ca_file: Annotated[
        str, Meta(description="authority of its certificate; empty: those of the system")
    ] = ""
    smtp_user: Annotated[str, Meta(description="name to log in with; empty: no login")] = ""
    smtp_password: Annotated[
        settings.Secret | None,
        Meta(description="password of SMTP_USER", examples=["as the mail server has it"]),
    ] = None
    smtp_from: Annotated[
        str, Meta(description="sender; needed with SMTP_HOST", examples=["lucid@example.org"])
    ] = ""
    link_url: Annotated[
        str,
        Meta(
            description="page that logs in with what follows; empty: the mail holds the code alone",
            examples=["https://lucid.example.org/login#code="],
        ),
    ] = ""


class Letter(NamedTuple):
    """A mail."""

    to: str
    subject: str
    text: str


class Postman:
    """Sends letters. Raises SettingsError for settings that do not fit together."""

    def __init__(self, config: MailSettings) -> None:
        if not config.smtp_from:
            raise settings.missing(MailSettings, "smtp_from")
        if config.smtp_tls == "none" and config.smtp_host not in _LOOPBACK:
            raise settings.SettingsError(
                "cannot start: SMTP_TLS none is for a mail server on this host; use starttls or tls"
            )
        if config.smtp_user and config.smtp_password is None:
            raise settings.missing(MailSettings, "smtp_password")
        self._config = config
        try:
            self._tls = ssl.create_default_context(cafile=config.smtp_ca_file or None)
        except OSError as error:
            raise settings.SettingsError(
                f"cannot start: SMTP_CA_FILE {config.smtp_ca_file} cannot be read: {error}"
            ) from None
        self._tasks: set[asyncio.Task[None]] = set()

    def link(self, site: str, to: str, token: str, minutes: int) -> Letter:
        """The letter that brings a login link."""
        how = self._config.link_url + token if self._config.link_url else f"Code: {token}"
        text = (
            f"Somebody, probably you, asks to log in to {site} with this address.\n\n{how}\n\n"
            f"This works once, within {minutes} minutes. If it was not you, there is nothing to do.\n"
        )
        return Letter(to, f"Log in to {site}", text)

    def post(self, letter: Callable[[], Awaitable[Letter | None]]) -> None:
        """Writes and sends a letter after the caller has gone on; None is not sent. A failure is counted.

        Raises Unavailable 5008 if too many are on their way.
        """
        if len(self._tasks) >= MOST_WAITING:
            raise Unavailable("too many people ask for login links at this moment; try again in a minute")
        task = asyncio.create_task(self._deliver(letter), context=context.detached())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Waits for letters on their way, not for long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()

    async def _deliver(self, letter: Callable[[], Awaitable[Letter | None]]) -> None:
        try:
            if (written := await letter()) is None:
                return
            await self._send(written)
            mails_total.labels("sent").inc()
        except (aiosmtplib.SMTPException, OSError, PyMongoError) as error:
            mails_total.labels("failed").inc()
            log.warning("login link not sent", error=f"{type(error).__name__}: {error}")

    async def _send(self, letter: Letter) -> None:
        config = self._config
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = config.smtp_from, letter.to, letter.subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="lucid.invalid")
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer from a machine, please
        message.set_content(letter.text)
        password = config.smtp_password
        await aiosmtplib.send(
            message,
            hostname=config.smtp_host,
            port=config.smtp_port,
            use_tls=config.smtp_tls == "tls",
            start_tls=config.smtp_tls == "starttls",
            tls_context=self._tls,
            username=config.smtp_user or None,
            password=password.text() if config.smtp_user and password else None,
            timeout=SEND_SECONDS,
        )
