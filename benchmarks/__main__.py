"""`python -m benchmarks [--write]`: all figures in one run, as tables or into docs/benchmarks.md."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import gateway, plot

DOCS = Path(__file__).parents[1] / "docs"
MODULES = ("sealing", "verifying", "transport", "recording", "peers", "gateway", "site", "desktops")

Figures = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Runs every benchmark; exit 1 if one misses its target."""
    parser = argparse.ArgumentParser(description="All figures in one run.")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its pictures")
    options = parser.parse_args(arguments)
    found: dict[str, Figures] = {}
    missed = []
    for name in MODULES:
        print(f"\n== {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        command += ["--json"] if options.write else []
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE if options.write else None)
        if done.returncode:
            missed.append(name)
        if done.stdout:
            found[name] = json.loads(done.stdout)
    for name in missed:
        print(f"{name}: below its target, or it failed", file=sys.stderr)
    if options.write and (without := set(MODULES) - set(found)):
        print(f"docs/benchmarks.md stays as it was, without figures of: {sorted(without)}", file=sys.stderr)
    elif options.write:
        _write(found)
    return 1 if missed else 0


def _write(found: dict[str, Figures]) -> None:
    pictures = DOCS / "benchmarks"
    pictures.mkdir(exist_ok=True)
    sealing = {
        r["data"]: {"Lucid": r["lucid_mb_s"], "C libraries": r["bare_mb_s"]}
        for r in found["sealing"]["results"]
    }
    (pictures / "sealing.svg").write_text(plot.bars("Sealing on one core", sealing, "MB/s"))
    proofs = found["verifying"]["proofs"]
    curve = {"make": [p["make_us"] for p in proofs], "check": [p["check_us"] for p in proofs]}
    labels = [f"{p['leaves']:,}" for p in proofs]
    (pictures / "proofs.svg").write_text(plot.lines("One inclusion proof, by leaves", labels, curve, "µs"))
    transport = {
        f"{r['data']}, {r['chunk_mib']:g} MiB": {
            "spool to storage": r["mb_s"],
            "sealing alone": r["sealing_mb_s"],
        }
        for r in found["transport"]["results"]
    }
    (pictures / "transport.svg").write_text(
        plot.bars("Spool to durable storage, mutual TLS", transport, "MB/s")
    )
    peers: dict[str, dict[str, float]] = {}
    for r in found["peers"]["results"]:
        peers.setdefault(r["data"], {})[r["program"]] = r["mb_s"]
    (pictures / "peers.svg").write_text(plot.bars("Protecting a file, whole processes", peers, "MB/s"))
    gateways: dict[str, dict[str, float]] = {}
    for r in found["gateway"]["results"]:
        if r["way"] != "service":
            gateways.setdefault(r["answer"], {})[r["way"]] = r["requests_s"]
    (pictures / "gateway.svg").write_text(plot.bars("Gateways on one core", gateways, "requests/s"))
    (DOCS / "benchmarks.md").write_text(_page(found), encoding="utf-8")


def _page(found: dict[str, Figures]) -> str:
    verification = found["verifying"]["verification"]
    return f"""# Benchmarks

Written by `python -m benchmarks --write` on {_machine()}. Repeat them with `make bench`: each figure is
taken beside its peer in the same run, in turns, as medians, so ratios hold on other machines better than the
figures themselves. Each module in `benchmarks/` says at its top what exactly it measures.

## Sealing

Compress, encrypt, hash and commit to 8 MiB on one core, beside the bare C libraries making the same primitive
calls on the same bytes. Target: {found["sealing"]["target"]:.2f}.

![Sealing](benchmarks/sealing.svg)

{_table(found["sealing"]["results"])}

## Sealing beside other programs

Whole processes that protect a file of 128 MiB. They do different things: age only encrypts; restic and borg
look for duplicates too; Lucid commits to each chunk by hash and key.

![Peers](benchmarks/peers.svg)

{_table(found["peers"]["results"])}

## From the recorder's spool to acknowledged durable storage

Real processes, mutual TLS, two cores for everything, MongoDB included. `share` is the throughput over sealing
alone on one core; `seal_ms` and `store_ms` are where a chunk's time goes. Targets for text in chunks of
1 MiB: 0.3 and 50 MB/s.

![Transport](benchmarks/transport.svg)

{_table(found["transport"]["results"])}

## Verification

A bundle of {verification["mib"]} MiB with its chunks is verified at {verification["lucid_mb_s"]:g} MB/s; bare
SHA-256 over the same file runs at {verification["sha256_mb_s"]:g} MB/s: {verification["ratio"]:.3f}, target
{found["verifying"]["target"]}. Proofs grow with the logarithm of the tree:

![Proofs](benchmarks/proofs.svg)

{_table(found["verifying"]["proofs"])}

## Recording

The processor time of the recorder's grabber and encoder and the bytes of an hour, at most 15 frames a second,
beside ffmpeg with its own x11grab.

{_table(found["recording"]["results"])}

## The gateway

wrk asks for small and large answers over {gateway.CONNECTIONS} connections, straight from the service and
through gateways that check each request's token, limit and log: api-gateway; nginx with auth_request to
auth-proxy; Envoy with jwt_authn and its token cache; FastAPI with httpx. Each has one core for all of its
processes. `mib` is the memory they hold after the load.

![Gateways](benchmarks/gateway.svg)

{_table(found["gateway"]["results"])}

Bodies of {gateway.UPLOAD_SIZE // 10**6} MB, {gateway.UPLOADING} at a time:

{_table(found["gateway"]["uploads"])}

1 kB at half of api-gateway's peak:

{_table(found["gateway"]["paced"])}

What was aimed for, medians of the rounds' ratios:

{_table(found["gateway"]["ratios"])}

## A whole site

`ansible-playbook site.yml` against {found["site"]["hosts"]} virtual hosts that share this machine's
processors, packages cached: onto empty hosts, and again where everything stands. In seconds.

{_table(found["site"]["results"])}

The slowest tasks of the new site, all hosts together:

{_table(found["site"]["slowest"])}

## Remote desktops

A site on one virtual host, which shares this machine's processors with the clients. Desktops are opened
through the gateway, one after the other, until recorded and ready for their client; beside them sessions of a
stock xrdp-sesman on the same host, which checks a password and starts the same desktop, unrecorded.

{_table(found["desktops"]["opening"])}

Somebody who then starts FreeRDP sees the desktop {found["desktops"]["seen_s"]:g} s after asking for it,
at the median; target {found["desktops"]["target"]:g} s.

One desktop's share of its host, 1280x720 at no more than 15 frames a second, in per cent of a core:

{_table(found["desktops"]["results"])}
"""


def _table(rows: list[Figures]) -> str:
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ("| " + " | ".join(f"{row[name]}" for name in head) + " |" for row in rows)
    return "\n".join(lines)


def _machine() -> str:
    model = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores of {model}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
