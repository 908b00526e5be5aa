"""Sparse LU on a GPU by NVIDIA's cuDSS, through its Python package, where both are there."""

import functools
import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.sparse

_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.ERROR)


@functools.cache
def _threads() -> str | None:
    """The library by which cuDSS orders and plans on several cores, where it came with the package."""
    found = importlib.util.find_spec("nvidia")
    places = () if found is None else found.submodule_search_locations or ()
    libraries = (library for place in places for library in Path(place).glob("cu*/lib/libcudss_mtlayer_gomp.so*"))
    return next(map(str, libraries), None)


@functools.cache
def available() -> bool:
    """Whether JAX computes on a GPU of NVIDIA's and the package ``nvmath`` finds cuDSS here."""
    if not any(device.platform == "gpu" and "nvidia" in device.device_kind.lower() for device in jax.local_devices()):
        return False
    try:
        return bool(np.isfinite(Factors(scipy.sparse.csr_array(np.eye(2))).solve(np.ones(2))).all())
    except Exception:  # what is missing (package, library, driver, or a version that fits) each says in its own type
        return False


class Factors:
    """LU of a matrix on the device; pivots that vanish are replaced by small ones, which the residual shows."""

    def __init__(self, matrix: scipy.sparse.csr_array) -> None:
        advanced: Any = importlib.import_module("nvmath.sparse.advanced")
        self._b = np.zeros(len(matrix.indptr) - 1, matrix.dtype)
        with_32_bits = (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
        matrix = scipy.sparse.csr_array(with_32_bits, matrix.shape)
        matrix.sort_indices()
        options = {"logger": _LOG, "multithreading_lib": _threads()}
        self._solver = advanced.DirectSolver(matrix, self._b, options=options)
        self._solver.plan()
        self._solver.factorize()

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return A⁻¹ b."""
        self._solver.reset_operands(b=np.ascontiguousarray(b, self._b.dtype))
        return np.asarray(self._solver.solve())

    def __del__(self) -> None:
        if hasattr(self, "_solver"):
            self._solver.free()
