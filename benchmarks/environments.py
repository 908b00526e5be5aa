"""One virtual environment for each peer, in benchmarks/.envs."""

import subprocess
import sys
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.peers import PEERS, Peer

ENVIRONMENTS = ROOT / "benchmarks" / ".envs"
DEBIAN = "/usr/bin/python3"


class SetupError(Exception):
    """An environment could not be made; the text is one sentence."""


def interpreter(peer: Peer) -> Path:
    """The peer's own Python, whether or not it is there."""
    return ENVIRONMENTS / peer.folder / "bin" / "python"


def installed(peer: Peer) -> bool:
    """Whether the peer's environment is there and complete."""
    return (ENVIRONMENTS / peer.folder / ".ready").is_file()


def command(peer: Peer) -> str:
    """What a reader types to install it."""
    return f"python -m benchmarks setup {peer.name}"


def setup(name: str) -> Path:
    """Make the environment of a peer anew and import the peer in it; where it is.

    Raises `SetupError` with the step that failed and the last line it printed.
    """
    peer = PEERS[name]
    folder = ENVIRONMENTS / peer.folder
    ready = folder / ".ready"
    ready.unlink(missing_ok=True)
    base = [DEBIAN, "-m", "venv", "--system-site-packages"] if peer.system else [sys.executable, "-m", "venv"]
    if peer.system and not Path(DEBIAN).is_file():
        raise SetupError(f"{name} needs Debian's Python with {' and '.join(peer.system)}; {DEBIAN} does not exist.")
    _step(name, "making the environment", [*base, "--clear", str(folder)])
    wanted = ROOT / "benchmarks" / "peers" / peer.folder / "requirements.txt"
    pip = [str(interpreter(peer)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _step(name, f"installing {wanted.relative_to(ROOT)}", [*pip, "-r", str(wanted)])
    hint = f" (Debian packages needed: apt-get install {' '.join(peer.system)})" if peer.system else ""
    _step(name, f"importing {peer.probe}{hint}", [str(interpreter(peer)), "-c", f"import {peer.probe}"])
    ready.touch()
    return folder


def _step(name: str, what: str, arguments: list[str]) -> None:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SetupError(f"{name}: {what} failed: {error.strerror}.") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        wrong = [line for line in lines if "rror" in line] or lines or [f"exit code {done.returncode}"]
        raise SetupError(f"{name}: {what} failed: {wrong[-1].replace(str(ROOT), '.')}")
