"""Which problems there are, in which sizes, and what solves them."""

from typing import NamedTuple


class Case(NamedTuple):
    """A problem on the unit cube of n³ blocks.

    ``methods`` are `gemel` and names of peers; a direct factorisation runs up to ``direct_limit`` only. Where it is
    ``shuffled``, nodes and cells are numbered at random, so that no code can profit from their order.
    """

    name: str
    title: str
    cell: str
    element: str
    sizes: tuple[int, ...]
    methods: tuple[str, ...]
    direct_limit: int
    shuffled: bool = False


PEERS = {"skfem-direct": "scikit-fem, SuperLU", "skfem-pyamg": "scikit-fem, CG with pyamg"}

_ALL = ("gemel", *PEERS)
_ITERATIVE = ("gemel", "skfem-pyamg")

CASES = {
    case.name: case
    for case in (
        Case("poisson-hex", "Poisson, Q1 hexahedra", "hexahedron", "Q1", (16, 32), _ALL, 16),
        Case(
            "poisson-shuffled", "Poisson, Q1 hexahedra in no order", "hexahedron", "Q1", (16, 32), _ITERATIVE, 0, True
        ),
        Case("poisson-tet", "Poisson, P1 tetrahedra", "tetrahedron", "P1", (16,), _ALL, 16),
        Case("elasticity-tet", "Clamped block, P2 tetrahedra", "tetrahedron", "P2", (4,), _ALL, 8),
        Case("elasticity-box", "Clamped block, Q1 hexahedra", "hexahedron", "Q1", (16,), _ITERATIVE, 0),
        Case("elasticity-hex", "Clamped block, Q2 hexahedra", "hexahedron", "Q2", (4,), _ALL, 6),
        Case("gradient", "Gradient in all cells' conductivities", "hexahedron", "Q1", (16,), ("gemel",), 0),
        Case(
            "transient",
            "Heat, 200 steps, and gradient",
            "hexahedron",
            "Q1",
            (8,),
            ("gemel", "skfem-direct"),
            16,
        ),
    )
}

RTOL = 1e-8
"""Relative tolerance of every iterative solve, on the residual in the Euclidean norm."""

STEPS, STEP = 200, 0.005
"""Number and length of the time steps of the transient case, in s."""

ERROR_DEGREE = {"P1": 5, "Q1": 5, "P2": 8, "Q2": 8}
"""Degree of the rule that measures the error: high enough that codes with other rules agree on it."""
