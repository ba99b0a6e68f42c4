"""Running the system's own tools: ip, nft, systemctl. Argument lists only, never a shell."""

import subprocess
from pathlib import Path

from lab.errors import LabError

NETNS = Path("/run/netns")  # where ip-netns(8) keeps namespaces


def run(*command: str, given: str | None = None, seconds: float = 60) -> str:
    """Standard output of a command; `given` is its standard input.

    Raises LabError with the command and what it said on standard error.
    """
    done = attempt(*command, given=given, seconds=seconds)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or "it said nothing"
        raise LabError(f"{' '.join(command[:8])} ended with status {done.returncode}: {said}")
    return done.stdout


def attempt(*command: str, given: str | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a command whose failure the caller expects; raises LabError only where it cannot run at all."""
    try:
        return subprocess.run(
            command,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed; `python -m lab up` names its package") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(command[:8])} did not end within {seconds:g} s") from None


def within(netns: str) -> tuple[str, ...]:
    """What to write before a command so that it runs in a network namespace, with all else as outside."""
    return ("nsenter", f"--net={NETNS / netns}", "--")


def inside(leader: int, *command: str) -> tuple[str, ...]:
    """The command line that runs a command as root inside a host, given the host's first process."""
    clean = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")
    return ("nsenter", f"--target={leader}", "--all", *clean, *command)
