"""Runs one service as on a host, under gunicorn in a process group of its own, on a port that the test chose.

Arguments: name and port. Settings come from the environment.
"""

import os
import sys
from pathlib import Path

from lucid import catalog
from lucid.kit import launch, logs, serve
from lucid.kit.tls import TlsConfig


def main(name: str, port: int) -> None:
    logs.configure(name, "INFO")
    tls = Path(os.environ["TLS_DIRECTORY"])
    config = TlsConfig(tls / f"{name}.crt", tls / f"{name}.key", tls / "ca.crt", "mutual")
    listener = serve.Listener("internal", "127.0.0.1", port, config)
    factory = launch._factory(catalog.load().services[name])
    serve.run(factory, [listener], serve.ServeOptions(drain_seconds=0.5))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
