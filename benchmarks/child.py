"""One row in a process of its own: ``python -m benchmarks.child METHOD CASE N REPEAT MESH OUT``.

Only the module that the row needs is imported, so that neither compile caches nor memory mix.
"""

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.measure import peak_mib

_OURS = {"poisson": "poisson", "elasticity": "elasticity", "gradient": "gradient", "transient": "transient"}


def run_row(method: str, name: str, n: int, repeat: int, mesh: str) -> dict[str, Any]:
    """Run one row in this process."""
    case = CASES[name]
    family = name.split("-")[0]
    if method != "gemel":
        peer = importlib.import_module("benchmarks.peers.scikit_fem")
        versions = _versions("scikit-fem", "scipy", "pyamg", "numpy")
        return {"versions": versions, "device": "cpu", "import_mib": peak_mib()} | peer.run(case, method, repeat, mesh)
    import jax

    jax.config.update("jax_enable_x64", True)
    module = importlib.import_module(f"benchmarks.ours.{_OURS[family]}")
    row = {"versions": _versions("gemel", "jax", "jaxlib", "pyamg"), "device": jax.devices()[0].device_kind}
    row["import_mib"] = peak_mib()
    return row | module.run(case, n, repeat)


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "source"
    return found


if __name__ == "__main__":
    _method, _name, _n, _repeat, _mesh, _out = sys.argv[1:]
    Path(_out).write_text(json.dumps(run_row(_method, _name, int(_n), int(_repeat), _mesh)))
