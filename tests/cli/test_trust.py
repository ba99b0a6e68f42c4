"""A client that outlives its deployment's authority: the next one is added to its file, and it goes on."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lucid.cli.api import ApiError, Target
from lucid.kit import authority
from lucid.kit.authority import Authority

DAY = timedelta(days=1)


def certify(context: ssl.SSLContext, signer: Authority, directory: Path) -> None:
    """From now on, the server shows a certificate of this authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    called = authority.names(["localhost"], [])
    cert = authority.issue(signer, key.public_key(), authority.subject("gateway"), called, DAY)
    (directory / "gateway.key").write_bytes(authority.private_pem(key))
    (directory / "gateway.crt").write_bytes(cert.public_bytes(Encoding.PEM))
    context.load_cert_chain(directory / "gateway.crt", directory / "gateway.key")


@asynccontextmanager
async def server(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Answers everything, one request for each connection; its base URL."""

    async def answer(_: web.Request) -> web.Response:
        response = web.Response(text="{}")
        response.force_close()
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    try:
        yield f"https://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_authority_that_is_added_to_the_file_is_trusted_from_then_on(tmp_path: Path) -> None:
    old, new = (authority.new_authority(name, DAY) for name in ("old", "new"))
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes(authority.pem(old)[0])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certify(context, old, tmp_path)
    async with server(context) as url, Target(url, trusted, token="any").open() as api:

        async def status() -> int:
            async with api.ask("GET", "/meta", [], None) as answer:
                return answer.status

        assert await status() == 200
        certify(context, new, tmp_path)
        with pytest.raises(ApiError, match="does not show a certificate of the authority"):
            await status()
        trusted.write_bytes(authority.pem(old)[0] + authority.pem(new)[0])
        os.utime(trusted, ns=(0, trusted.stat().st_mtime_ns + 1))
        assert await status() == 200
