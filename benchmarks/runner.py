"""Start one process a row and collect what it measured."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cases import RTOL, Case
from benchmarks.environments import interpreter
from benchmarks.machine import ROOT, describe
from benchmarks.peers import PEERS

_PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu"}


class Job(NamedTuple):
    """One row to measure: ``code`` is "gemel" or the name of a peer."""

    case: Case
    size: int
    code: str
    device: str


def jobs(cases: list[Case], sizes: list[int], peers: list[str], device: str) -> list[Job]:
    """The rows of the cases, at ``sizes`` or their own, with those of the peers that solve them."""
    return [
        Job(case, size, code, device)
        for case in cases
        for size in (sizes or case.sizes)
        for code in ("gemel", *peers)
        if code == "gemel" or PEERS[code].solves(case, size)
    ]


def has_gpu() -> bool:
    """True where JAX finds a GPU here."""
    probe = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.run(probe, env=_environment("gpu"), check=False, capture_output=True).returncode == 0


def measure(job: Job, repeat: int, limit: float) -> dict[str, Any]:
    """The row of a job; where it failed, ``failed`` holds one sentence instead of times."""
    with tempfile.TemporaryDirectory() as folder:
        mesh, out = Path(folder) / "mesh.npz", Path(folder) / "row.json"
        if job.code != "gemel" and job.case.cell:
            _write_mesh(job, mesh)
        command = [*_launcher(job.code), "-m", "benchmarks.child", job.code, job.case.name]
        command += [str(job.size), str(repeat), str(mesh), str(out)]
        row = _head(job, repeat)
        try:
            code, errors = _run(command, _environment(job.device), limit)
        except subprocess.TimeoutExpired:
            return row | {"failed": f"not done after {limit:g} s"}
        except OSError as error:
            return row | {"failed": f"{command[0]} cannot be run: {error.strerror}".replace(str(ROOT), ".")}
        if code or not out.is_file():
            lines = [line for line in errors.splitlines() if "Error: " in line] or [f"exit code {code}"]
            return row | {"failed": lines[-1].replace(str(ROOT), ".")}
        return row | json.loads(out.read_text())


def _run(command: list[str], environment: dict[str, str], limit: float) -> tuple[int, str]:
    """Exit code and standard error of a command, which is ended with all its own processes after ``limit`` seconds."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate(timeout=limit)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, errors


def _launcher(code: str) -> list[str]:
    if code == "gemel":
        return [sys.executable]
    peer = PEERS[code]
    python = str(interpreter(peer))
    if peer.processes == 1:
        return [python]
    return ["mpirun", "--allow-run-as-root", "-n", str(peer.processes), python, "-m", "mpi4py"]


def _head(job: Job, repeat: int) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    head: dict[str, Any] = {"case": job.case.name, "size": job.size, "code": job.code, "repeat": repeat}
    if job.case.cell:
        head |= {"tolerance": RTOL, "cell": job.case.cell, "element": job.case.element}
    return head | {"time": now, "machine": describe()}


def _environment(device: str) -> dict[str, str]:
    """This environment without a compilation cache: what is compiled is measured."""
    return os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": _PLATFORMS[device]}


def _write_mesh(job: Job, path: Path) -> None:
    import numpy as np

    from benchmarks.ours.common import cube

    mesh = cube(job.case, job.size)
    np.savez(path, points=np.asarray(mesh.points), cells=np.asarray(mesh.cells))
