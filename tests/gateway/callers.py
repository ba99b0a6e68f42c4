"""People before the gateways who go on asking whatever happens, and who know what they must be told."""

import asyncio
import random
import ssl
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from lucid.kit.tls import internal_name

UNAVAILABLE = frozenset({502, 503, 504})
PATIENCE = aiohttp.ClientTimeout(total=60)
PAUSE_SECONDS = 0.02
"""Mean time between an answer and the caller's next question."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and its one right answer: the status, and what the body must hold."""

    method: str
    path: str
    token: str | None = field(repr=False)
    status: int
    holds: str
    """Empty: what was sent."""


@dataclass(slots=True)
class Phase:
    """What was answered while something happened."""

    name: str
    answers: Counter[str] = field(default_factory=Counter)
    """By `right`, `unavailable` or `no answer`; for the last two with the kind of error."""
    longest: float = 0.0
    seconds: float = 0.0

    @property
    def errors(self) -> int:
        """Answers that say nothing about the question, and connections that broke."""
        return self.answers.total() - self.answers["right"]

    def __str__(self) -> str:
        answers = ", ".join(f"{count} {kind}" for kind, count in sorted(self.answers.items()))
        times = f"{self.seconds:.1f} s, longest answer {self.longest:.2f} s"
        return f"{self.name}: {self.errors} errors; {times}; {answers}"


class Callers:
    """Callers on connections of their own, as many at each gateway."""

    def __init__(self, ports: Sequence[int], trusted: ssl.SSLContext) -> None:
        self._urls = [f"https://127.0.0.1:{port}" for port in ports]
        self._trusted = trusted
        self._phase = Phase("start")
        self.questions: Sequence[Question] = ()
        self.wrong: list[str] = []
        """Every answer that is neither right nor says that there is none: a good token's 401, for example."""
        self.phases: list[Phase] = []

    @asynccontextmanager
    async def asking(self, number: int, rng: random.Random) -> AsyncIterator[None]:
        """Has `number` callers ask at each gateway until the end of the block."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trusted, limit=0), timeout=PATIENCE
        ) as session:
            tasks = [
                asyncio.create_task(self._ask_on(session, url, random.Random(rng.random())))  # noqa: S311 - no secret
                for url in self._urls
                for _ in range(number)
            ]
            try:
                yield
                over = [task for task in tasks if task.done()]
                assert not over, over[0]
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def during(self, name: str) -> AsyncIterator[Phase]:
        """Counts what is answered in the block apart."""
        phase = self._phase = Phase(name)
        self.phases.append(phase)
        begin = time.perf_counter()
        yield phase
        phase.seconds = time.perf_counter() - begin

    async def _ask_on(self, session: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
        while True:
            question, begin = rng.choice(self.questions), time.perf_counter()
            said = await self._ask(session, url, question)
            phase = self._phase
            phase.answers[said] += 1
            phase.longest = max(phase.longest, time.perf_counter() - begin)
            await asyncio.sleep(rng.uniform(0, 2 * PAUSE_SECONDS))

    async def _ask(self, session: aiohttp.ClientSession, url: str, question: Question) -> str:
        sent = str(uuid.uuid4()) if question.method == "POST" else None
        headers = {"Authorization": f"Bearer {question.token}"} if question.token else {}
        try:
            async with session.request(
                question.method, url + question.path, headers=headers, data=sent,
                server_hostname=internal_name("api-gateway"),
            ) as answer:  # fmt: skip
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"no answer ({type(error).__name__})"
        if answer.status == question.status and (question.holds or sent or "") in text:
            return "right"
        if answer.status in UNAVAILABLE:
            return f"unavailable ({answer.status})"
        self.wrong.append(f"{self._phase.name}: {question} was answered {answer.status} {text[:300]}")
        return "wrong"
