"""The least time of a solve that the memory allows: a model of the traffic of one iteration.

One iteration of conjugate gradients with a V-cycle on trilinear hexahedra moves, for each unknown,

- one product with the operator in double precision,
- three products in the cycle in single precision (a smoothing step before, the residual, a smoothing step after), and
  one seventh of those again on all coarser levels,
- ten entries of vectors in double precision.

A product of assembled rows reads 27 entries for each component with one column index for each block, and reads and
writes a vector. Without a matrix it reads one number for each unknown beside the vectors; that is the least possible.
"""

_STENCIL = 27
_VECTORS = 10 * 8
_CYCLE = 3 * 8 / 7
_INDEX = 4


def assembled(components: int) -> float:
    """Bytes for each unknown and iteration with stored rows."""

    def product(width: int) -> float:
        return _STENCIL * (components * width + _INDEX / components) + 2 * width

    return product(8) + _CYCLE * product(4) + _VECTORS


def matrix_free() -> float:
    """Bytes for each unknown and iteration with one stored number for each unknown."""
    return 3 * 8 + _CYCLE * 3 * 4 + _VECTORS


def seconds(unknowns: int, iterations: int, bytes_: float, gb_s: float) -> float:
    """The time of a solve at the bandwidth ``gb_s``."""
    return unknowns * iterations * bytes_ / (gb_s * 1e9)
