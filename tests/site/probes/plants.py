"""Leaves a made-up secret in every place where none must be, so that a search can show that it finds it."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

FILES = {
    "/etc/lucid-proof.conf": "raw",
    "/var/log/lucid-proof.log": "base64",
    "/root/.lucid_proof_history": "raw",
}
UNIT = Path("/run/systemd/system/lucid-proof-leak.service")
WAIT = "import time; time.sleep(120)"


def main(asked: dict[str, Any]) -> int:
    """`asked`: the secret's forms raw, base64 and quoted to plant it; `started`, the answer, to clear up."""
    if "started" in asked:
        subprocess.run(["systemctl", "stop", UNIT.name], check=True)
        os.kill(asked["started"], signal.SIGKILL)
        UNIT.unlink()
        for left in FILES:
            Path(left).unlink()
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        return 0
    for path, form in FILES.items():
        Path(path).write_text(f"something={asked[form]}\n")
    UNIT.write_text(f"[Service]\nEnvironment=URL=https://u:{asked['raw']}@host/\nExecStart=/bin/sleep 120\n")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", UNIT.name], check=True)
    subprocess.run(["logger", "-t", "lucid-proof"], input=f"quoted {asked['quoted']}", text=True, check=True)
    subprocess.run(["journalctl", "--sync"], check=True)
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return subprocess.Popen(["python3", "-c", WAIT, asked["raw"]], start_new_session=True, **quiet).pid
