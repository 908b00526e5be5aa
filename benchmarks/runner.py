"""Start one process a row and collect what it measured."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cases import Case
from benchmarks.machine import ROOT, describe


class Job(NamedTuple):
    """One row to measure."""

    case: Case
    size: int
    method: str


def jobs(cases: list[Case], sizes: list[int], peers: bool) -> list[Job]:
    """The rows of the cases: at ``sizes`` or their own; direct solves where they are affordable."""
    return [
        Job(case, size, method)
        for case in cases
        for size in (sizes or case.sizes)
        for method in case.methods
        if method == "gemel" or (peers and (method != "skfem-direct" or size <= case.direct_limit))
    ]


def has_peers(python: str) -> bool:
    """True where that interpreter has scikit-fem."""
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('skfem') is None)"
    return subprocess.run([python, "-c", probe], check=False, capture_output=True).returncode == 0


def measure(job: Job, repeat: int, peer_python: str, limit: float) -> dict[str, Any]:
    """The row of a job; where it failed, ``failed`` holds one sentence instead of times."""
    with tempfile.TemporaryDirectory() as folder:
        mesh, out = Path(folder) / "mesh.npz", Path(folder) / "row.json"
        python = sys.executable if job.method == "gemel" else peer_python
        if job.method != "gemel":
            _write_mesh(job, mesh)
        command = [python, "-m", "benchmarks.child", job.method, job.case.name]
        command += [str(job.size), str(repeat), str(mesh), str(out)]
        row = _head(job, repeat)
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return row | {"failed": f"not done after {limit:g} s"}
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "Error: " in line] or [f"exit code {done.returncode}"]
            return row | {"failed": lines[-1].replace(str(ROOT), ".")}
        return row | json.loads(out.read_text())


def _head(job: Job, repeat: int) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"case": job.case.name, "size": job.size, "method": job.method, "repeat": repeat}
    return head | {"cell": job.case.cell, "element": job.case.element, "time": now, "machine": describe()}


def _environment() -> dict[str, str]:
    """This environment without a compilation cache: what is compiled is measured."""
    return os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def _write_mesh(job: Job, path: Path) -> None:
    import numpy as np

    from benchmarks.ours.common import cube

    mesh = cube(job.case, job.size)
    np.savez(path, points=np.asarray(mesh.points), cells=np.asarray(mesh.cells))
