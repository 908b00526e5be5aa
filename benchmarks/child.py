"""One row in a process of its own: ``python -m benchmarks.child CODE CASE N REPEAT MESH OUT``.

Only the module that the row needs is imported, so that neither compile caches nor memory mix. A peer that runs in
several processes returns a row in the first one and None in the others.
"""

import importlib
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.measure import peak_mib
from benchmarks.peers import PEERS, Task


def run_row(task: Task) -> dict[str, Any] | None:
    """Run one row in this process."""
    if task.code == "gemel":
        return _ours(task)
    peer = PEERS[task.code]
    module = importlib.import_module(f"benchmarks.peers.{peer.folder}.solve")
    head = {"versions": _versions(*peer.packages), "device": "cpu", "import_mib": peak_mib()}
    row = module.run(task)
    return None if row is None else head | row


def _ours(task: Task) -> dict[str, Any]:
    import jax

    jax.config.update("jax_enable_x64", True)
    module = importlib.import_module(f"benchmarks.ours.{task.case.module}")
    row = {"versions": _versions("gemel", "jax", "jaxlib", "pyamg"), "device": jax.devices()[0].device_kind}
    row["import_mib"] = peak_mib()
    return row | module.run(task.case, task.size, task.repeat)


def _versions(*packages: str) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "source"
    return found


if __name__ == "__main__":
    _code, _name, _n, _repeat, _mesh, _out = sys.argv[1:]
    _row = run_row(Task(CASES[_name], _code, int(_n), int(_repeat), _mesh))
    if _row is not None:
        Path(_out).write_text(json.dumps(_row))
