"""One request of a kind that nobody should send, made from a route and a seed."""

import base64
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from lucid.contracts import blockchain_engine, chunk_processor, session_anchoring, session_storage
from lucid.evidence import dsse
from lucid.evidence import leaf as leaves
from lucid.evidence.leaf import Leaf
from lucid.kit.context import DEADLINE_HEADER, REQUEST_ID_HEADER
from lucid.kit.routes import Nothing, Route, Stream
from tests.blocks.world import Signer, root_of
from tests.fuzz.values import NASTY, SESSIONS, encoded, mutated, valid

RECORDER, CLOSER = Signer("fuzz recorder"), Signer("fuzz closer", "closer")
RAW, NONCE = b"raw bytes of a chunk " * 20, bytes(range(32))
_LONGEST_HEADER = 4000


@dataclass(frozen=True)
class Case:
    """What is sent; `path` as it stands in the request line."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def make(rng: random.Random, route: Route[Any, Any, Any]) -> Case:
    """A request to `route`: about one in six is as it should be, the others have something wrong."""
    wrong = rng.choice(("nothing", "params", "params", "body", "body", "headers"))
    params = valid(rng, route.params)
    names = route.path_names
    if wrong == "params":
        params = mutated(rng, params)
        params = params if isinstance(params, dict) else {}
    path = route.path.format_map(
        {name: quote(_text(params.get(name, rng.choice(NASTY))), safe="", errors="replace") for name in names}
    )
    query = [(name, value) for name, value in params.items() if name not in names and value is not None]
    if wrong == "params" and query and rng.random() < 0.2:
        query *= 2
    if query:
        path += "?" + "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query)
    body = None if route.body is Nothing else _body(rng, route, wrong == "body")
    headers = {"Content-Type": "application/json"} if body is not None else {}
    headers |= _evidence_headers(rng, route, params, body or b"", wrong == "headers")
    if wrong == "headers":
        headers |= _nasty_headers(rng)
    return Case(route.method, path, headers, body)


def _body(rng: random.Random, route: Route[Any, Any, Any], wrong: bool) -> bytes:
    if route.body is Stream:
        return rng.choice((b"", RAW[:-1], rng.randbytes(3000))) if wrong else RAW
    if route is session_anchoring.SUBMIT:
        value: Any = {"envelope": envelope(rng, wrong=wrong)}
    elif route is blockchain_engine.SUBMIT:
        count = rng.randint(1, 3)
        value = {"kind": "session_anchor", "entries": [envelope(rng, wrong=wrong) for _ in range(count)]}
    else:
        value = valid(rng, route.body)
    if not wrong:
        return msgspec.json.encode(value)
    return encoded(rng, mutated(rng, value) if rng.random() < 0.7 else value)


def envelope(rng: random.Random, *, wrong: bool) -> str:
    """A DSSE envelope; a wrong one is altered before it was signed, or after, or in its writing."""
    session, signer = rng.choice(SESSIONS), rng.choice((RECORDER, CLOSER))
    entry = rng.choice(
        (
            signer.registration,
            lambda: signer.anchor(session, rng.randrange(4)),
            lambda: signer.manifest(session, rng.randrange(1, 4)),
            lambda: signer.access(session),
            lambda: signer.hold(session, held=rng.random() < 0.5),
            lambda: signer.erasure(session),
        )
    )()
    if not wrong:
        return entry.data.decode()
    match rng.randrange(3):
        case 0:
            statement = mutated(rng, msgspec.json.decode(entry.envelope.body))
            kind = entry.envelope.payload_type if rng.random() < 0.9 else "application/json"
            return dsse.sign(kind, encoded(rng, statement), signer.key).decode()
        case 1:
            return encoded(rng, mutated(rng, msgspec.json.decode(entry.data))).decode(errors="replace")
        case _:
            outer = msgspec.json.decode(entry.data)
            outer["payload"] = base64.b64encode(rng.randbytes(rng.randrange(200))).decode()
            return msgspec.json.encode(outer).decode()


def _evidence_headers(
    rng: random.Random, route: Route[Any, Any, Any], params: Mapping[str, Any], body: bytes, wrong: bool
) -> dict[str, str]:
    """The leaf or the claim that goes with a chunk, fitting it unless it shall be wrong."""
    if route is session_storage.STORE:
        name, value = session_storage.LEAF_HEADER, leaves.encode(_leaf(params, body))
    elif route is chunk_processor.PROCESS:
        name, value = chunk_processor.CLAIM_HEADER, msgspec.json.encode(_claim(rng, body))
    else:
        return {}
    return _header(name, encoded(rng, mutated(rng, msgspec.json.decode(value))) if wrong else value)


def _leaf(params: Mapping[str, Any], body: bytes) -> Leaf:
    """A leaf that fits the path where the path is one of a chunk."""
    session, track, index = (params.get(name) for name in ("session", "track", "index"))
    return Leaf(
        session=session if session in SESSIONS else SESSIONS[0],
        track=track if type(track) is int and 0 <= track < 16 else 0,
        index=index if type(index) is int and 0 <= index < 2**31 else 0,
        start_ms=1,
        end_ms=2,
        plain_size=1000,
        sealed_size=max(len(body), leaves.SEAL_OVERHEAD + 1),
        codec="zstd",
        sealed_sha256=hashlib.sha256(body).hexdigest(),
        key_commitment="0" * 64,
        raw_commitment=root_of(1),
    )


def _claim(rng: random.Random, body: bytes) -> chunk_processor.Claim:
    return chunk_processor.Claim(
        sequence=rng.randrange(5),
        start_ms=1,
        end_ms=2,
        raw_nonce=NONCE.hex(),
        raw_commitment=hashlib.sha256(NONCE + body).hexdigest(),
    )


def _nasty_headers(rng: random.Random) -> dict[str, str]:
    """Headers that the kit reads, with something odd in them."""
    names = (
        "Authorization", "Range", "If-Range", "Content-Type", "Accept", "Content-Encoding", "Expect",
        REQUEST_ID_HEADER, DEADLINE_HEADER,
    )  # fmt: skip
    values = (
        "", "0", "-1", "1", "99999999999999999999", "bytes=0-", "bytes=-1", "bytes=5-1,2-", "Bearer ",
        "Bearer a.b.c", "Bearer " + "x" * 3000, "Basic YTpi", '"', '"0-' + "0" * 64 + '"', "gzip", "é\xff",
        "a" * 3000, "{}",
    )  # fmt: skip
    return {rng.choice(names): rng.choice(values) for _ in range(rng.randint(1, 3))}


def _header(name: str, value: bytes) -> dict[str, str]:
    """A header as far as HTTP can carry it."""
    text = value[:_LONGEST_HEADER].decode(errors="replace")
    return {name: "".join(letter for letter in text if letter >= " " and letter != "\x7f")}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)[:2000] or "-"


def _quoted(value: Any) -> str:
    return quote(_text(value), safe="", errors="replace")
