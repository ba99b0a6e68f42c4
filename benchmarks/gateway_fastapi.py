"""A gateway as one is usually drawn, to compare with: FastAPI, uvicorn and httpx, a Redis counter as limiter.

`uvicorn benchmarks.gateway_fastapi:app`. Each request's HS256 token is checked anew, with a question to Redis
whether it was taken back; four more count it in a window of a minute. The client towards the service is kept
and shared. It logs each request, and has no metrics, no breaker and no balancing. UPSTREAM and REDIS_URL say
where the others are, SECRET what signs the tokens; its limit, counted and never met, is a billion a minute.
"""

import logging
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from redis import asyncio as redis
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lucid.contracts.api_gateway import PREFIX

LIMIT = 1_000_000_000
WINDOW_SECONDS = 60
HEADERS = ("content-type", "etag", "retry-after")
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
log = logging.getLogger("gateway")
store = redis.from_url(os.environ["REDIS_URL"])


class Authentication:
    """Who asks, for the layers within."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims: dict[str, Any] = jwt.decode(token, os.environ["SECRET"], algorithms=["HS256"])
        except jwt.InvalidTokenError as error:
            await _refuse(401, f"Invalid token: {error}")(scope, receive, send)
            return
        if scheme.lower() != "bearer" or await store.get(f"blacklist:{claims['jti']}") is not None:
            await _refuse(401, "Token has been revoked")(scope, receive, send)
            return
        request.state.user = claims["sub"]
        await self.app(scope, receive, send)


class RateLimit:
    """Counts the requests of each user in the minute that runs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            user = scope["state"]["user"]
            now = int(time.time())
            key = f"rate_limit:authenticated:{user}:{now - now % WINDOW_SECONDS}"
            count, burst = await store.get(key), await store.get(f"rate_limit_burst:authenticated:{user}")
            if int(count or 0) + int(burst or 0) >= LIMIT:
                await _refuse(429, "Rate limit exceeded")(scope, receive, send)
                return
            await store.incr(key)
            await store.expire(key, WINDOW_SECONDS)
        await self.app(scope, receive, send)


class AccessLog:
    """A line about each request, and its id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, request_id, status = time.perf_counter(), str(uuid.uuid4()), 500

        async def identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        await self.app(scope, receive, identified)
        seconds = time.perf_counter() - begin
        log.info("%s %s %s %d %.4f", request_id, scope["method"], scope["path"], status, seconds)


@asynccontextmanager
async def _lifespan(running: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(base_url=os.environ["UPSTREAM"], timeout=30.0) as client:
        running.state.client = client
        yield


app = FastAPI(lifespan=_lifespan)
app.add_middleware(TrustedHostMiddleware, allowed_hosts=["*"])
app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
app.add_middleware(AccessLog)
app.add_middleware(RateLimit)
app.add_middleware(Authentication)


@app.api_route(PREFIX + "/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def proxy(path: str, request: Request) -> Response:
    """Passes the request on, and its answer back."""
    answer = await request.app.state.client.request(
        request.method,
        f"/{path}",
        params=request.query_params,
        content=await request.body(),
        headers={"Authorization": request.headers["Authorization"]},
    )
    headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    return Response(answer.content, answer.status_code, headers)


def _refuse(status: int, message: str) -> JSONResponse:
    error = {"code": f"LUCID_ERR_{status}", "message": message, "request_id": str(uuid.uuid4())}
    return JSONResponse({"error": error}, status)
