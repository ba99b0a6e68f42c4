"""The API as people's commands use it: through the gateway, with a person's token."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

from lucid.cli.saved import Keep
from lucid.contracts import auth_service
from lucid.contracts.api_gateway import PREFIX
from lucid.dev.operator import Operator
from lucid.kit.errors import Code, Envelope
from lucid.kit.routes import NOTHING, Access, Nothing, Route, Stream

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")

ANSWER_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
"""How long a question is repeated while the deployment, or a service of it, is away."""
REST_SECONDS = 90.0
"""The same while the gateway gives a service a rest: longer than that rest."""
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 4.0
"""Pauses double up to this: every question to a service that is away counts towards giving it a rest."""


class ApiError(Exception):
    """The API refused or could not be reached. `code` is None where no error envelope came."""

    unavailable = True
    """Whether it may work later."""

    def __init__(self, message: str, code: Code | None = None, request_id: str = "") -> None:
        where = ", ".join(
            part for part in (code and code.label, request_id and f"request id {request_id}") if part
        )
        super().__init__(f"{message} ({where})" if where else message)
        self.code = code
        if code is not None:
            self.unavailable = code.status in {502, 503, 504}

    def waited_out(self, since: float) -> bool:
        """Whether a question that ends like this is not repeated any more, asked first at `since`.

        `since` is monotonic, in seconds.
        """
        patience = REST_SECONDS if self.code is Code.BREAKER_OPEN else PATIENCE_SECONDS
        return not self.unavailable or time.monotonic() > since + patience


class _StrangerError(ApiError):
    """Who answers is not the gateway of this deployment."""

    unavailable = False


@dataclass(frozen=True)
class Target:
    """A deployment and who asks: a token, an account to log in with, or a login that was kept."""

    url: str
    """Base URL of the gateway, without the prefix."""
    ca: Path | None
    """Certificate of its authority; the system's authorities if None."""
    token: str | None = field(default=None, repr=False)
    operator: Operator | None = None
    keep: Keep | None = None

    @property
    def renewable(self) -> bool:
        """Whether another token can be had for one that has expired."""
        return self.operator is not None or self.keep is not None

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Api"]:
        """A client for as long as the context lasts."""
        trust = _Trust(self.ca)
        connector = aiohttp.TCPConnector(ssl=trust.context, keepalive_timeout=4.0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            yield Api(self, session, trust)


class _Trust:
    """The authorities of a client that may outlive one: more are added to the file before they are used.

    What was trusted at the start is trusted until the end. Raises OSError for a file that is not there,
    ssl.SSLError (an OSError) for one without certificates.
    """

    def __init__(self, ca: Path | None) -> None:
        self.context = ssl.create_default_context(cafile=str(ca) if ca else None)
        self._ca = ca
        self._read = self._written()

    def follow(self) -> None:
        """Takes in what was added to the file."""
        if self._ca and (written := self._written()) != self._read:
            self.context.load_verify_locations(str(self._ca))
            self._read = written

    def _written(self) -> int:
        return self._ca.stat().st_mtime_ns if self._ca else 0


class Api:
    """Calls typed routes as the contracts define them."""

    def __init__(self, target: Target, session: aiohttp.ClientSession, trust: _Trust) -> None:
        self._target = target
        self._session = session
        self._trust = trust
        self._token = target.token
        self._renewing = asyncio.Lock()

    async def call(
        self, route: Route[P, B, R], params: P, body: B | None = None, *, patient: bool = True
    ) -> R:
        """One request and its answer. Questions are repeated for a while when nobody answers, if `patient`.

        Raises ApiError.
        """
        request = self._request(route, params, body)
        begun = time.monotonic()
        pause = _PAUSE_SECONDS
        while True:
            try:
                async with self._open(request) as answer:
                    return _decode(route, await answer.read())
            except ApiError as error:
                if not (patient and route.idempotent) or error.waited_out(begun):
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    @asynccontextmanager
    async def stream(
        self, route: Route[P, Nothing, Stream], params: P, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer whose body is read piece by piece; 206 only where `headers` ask for a part of it.

        Raises ApiError, also while it is being read.
        """
        request = self._request(route, params, None)
        parts = {206} if "Range" in headers else set()
        async with self._open(
            replace(request, headers=headers, statuses=request.statuses | parts, seconds=None)
        ) as answer:
            yield answer

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Any request, `path` without the prefix, with JSON as `body`; its answer if that is a success.

        Raises ApiError.
        """
        url = URL(self._target.url.rstrip("/") + PREFIX + path).extend_query(query)
        private = self._token is not None or self._target.renewable
        async with self._open(_Request(method, url, frozenset(range(200, 300)), private, body)) as answer:
            yield answer

    def _request(self, route: Route[P, B, R], params: P, body: object) -> "_Request":
        return _Request(
            route.method,
            _url(self._target.url, route, params),
            frozenset({route.status}),
            route.access > Access.PUBLIC,
            None if body is None else msgspec.json.encode(body),
        )

    @asynccontextmanager
    async def _open(self, request: "_Request") -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, logged in anew where the token has expired."""
        if request.private and self._token is None:
            await self._renew(None)
        token = self._token
        try:
            async with self._send(request) as answer:
                yield answer
        except _ExpiredError:
            await self._renew(token)
            async with self._send(request) as answer:
                yield answer

    @asynccontextmanager
    async def _send(self, request: "_Request") -> AsyncIterator[aiohttp.ClientResponse]:
        head = dict(request.headers)
        if request.body is not None:
            head["Content-Type"] = "application/json"
        if request.private:
            head["Authorization"] = f"Bearer {self._token}"
        try:
            self._trust.follow()
            async with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=head,
                timeout=aiohttp.ClientTimeout(
                    total=request.seconds, sock_connect=5.0, sock_read=ANSWER_SECONDS
                ),
                allow_redirects=False,
            ) as answer:
                if answer.status not in request.statuses:
                    raise self._refusal(await answer.read(), answer.status)
                yield answer
        except aiohttp.ClientConnectorCertificateError as error:
            raise _StrangerError(
                f"{self._target.url} does not show a certificate of the authority given with --ca: {error}"
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(f"{self._target.url} does not answer: {str(error) or 'no time left'}") from None

    def _refusal(self, body: bytes, status: int) -> ApiError:
        try:
            error = msgspec.json.decode(body, type=Envelope).error
        except msgspec.MsgspecError:
            return ApiError(f"{self._target.url} answered {status} without saying why")
        code = next((code for code in Code if code.label == error.code), None)
        expired = code in {Code.TOKEN_EXPIRED, Code.TOKEN_INVALID} and self._target.renewable
        kind = _ExpiredError if expired and self._token else ApiError
        return kind(error.message, code, error.request_id)

    async def _renew(self, expired: str | None) -> None:
        """Gets a token in the place of one that has expired, unless that was done meanwhile."""
        async with self._renewing:
            if self._token != expired:
                return
            self._token = None
            if self._target.keep:
                self._token = await self._refreshed(self._target.keep, expired)
            elif self._target.operator:
                operator = self._target.operator
                login = auth_service.Login(email=operator.email, password=operator.password)
                self._token = (await self.call(auth_service.LOGIN, NOTHING, login)).access_token
            else:
                raise ApiError(
                    "this needs a token: run `lucid login`, set LUCID_TOKEN or pass --token-file",
                    Code.AUTHENTICATION_REQUIRED,
                )

    async def _refreshed(self, keep: Keep, expired: str | None) -> str:
        """A token by the refresh token that was kept, and the next one kept."""
        async with keep.lock():
            saved = keep.load()
            if saved is None:
                raise ApiError("nobody is logged in: run `lucid login`", Code.AUTHENTICATION_REQUIRED)
            if saved.access_token != expired:
                return saved.access_token
            body = auth_service.Refresh(refresh_token=saved.refresh_token)
            tokens = await self.call(auth_service.REFRESH, NOTHING, body)
            keep.save(saved.renewed(tokens))
            return tokens.access_token


@dataclass(frozen=True)
class _Request:
    """One request as it goes out."""

    method: str
    url: URL
    statuses: frozenset[int]
    """Which answers are what was asked for."""
    private: bool
    """Whether it needs a token."""
    body: bytes | None
    """JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = ANSWER_SECONDS
    """For the whole answer; None for as long as bytes keep coming."""


class _ExpiredError(ApiError):
    """The token is too old, and another can be had."""


def _url(base: str, route: Route[P, B, R], params: P) -> URL:
    values = {name: value for name, value in msgspec.to_builtins(params).items() if value is not None}
    path = route.path.format(**{name: values.pop(name) for name in route.path_names})
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    return URL(base.rstrip("/") + PREFIX + path).with_query(texts)


def _decode(route: Route[P, B, R], body: bytes) -> R:
    if route.response is Nothing:
        return route.response()
    try:
        return msgspec.json.decode(body, type=route.response)
    except msgspec.MsgspecError as error:
        raise ApiError(f"the answer to {route.summary!r} is not understood: {error}", Code.EXTERNAL) from None
