"""Which problems there are, and in which sizes."""

from typing import NamedTuple


class Case(NamedTuple):
    """A problem on the unit cube of n³ blocks; where ``cell`` is empty, an ensemble of n members, or n fits.

    ``module`` in benchmarks/ours solves it with Gemel. Where it is ``shuffled``, nodes and cells are numbered at
    random, so that no code can profit from their order.
    """

    name: str
    title: str
    module: str
    cell: str
    element: str
    sizes: tuple[int, ...]
    shuffled: bool = False

    @property
    def vector(self) -> bool:
        """Whether the unknown is a displacement."""
        return self.module in ("elasticity", "neo_hookean")


_HEX, _TET = "hexahedron", "tetrahedron"

CASES = {
    case.name: case
    for case in (
        Case("poisson-hex", "Poisson, Q1 hexahedra", "poisson", _HEX, "Q1", (16, 32)),
        Case("poisson-shuffled", "Poisson, Q1 hexahedra in no order", "poisson", _HEX, "Q1", (16, 32), True),
        Case("poisson-tet", "Poisson, P1 tetrahedra", "poisson", _TET, "P1", (16,)),
        Case("elasticity-box", "Clamped block, Q1 hexahedra", "elasticity", _HEX, "Q1", (16,)),
        Case("elasticity-shuffled", "Clamped block, Q1 hexahedra in no order", "elasticity", _HEX, "Q1", (16,), True),
        Case("elasticity-tet", "Clamped block, P2 tetrahedra", "elasticity", _TET, "P2", (4,)),
        Case("elasticity-hex", "Clamped block, Q2 hexahedra", "elasticity", _HEX, "Q2", (4,)),
        Case("gradient", "Gradient in all cells' conductivities", "gradient", _HEX, "Q1", (16,)),
        Case("transient", "Heat, 200 steps, and gradient", "transient", _HEX, "Q1", (8,)),
        Case("neo-hookean", "Rubber block, strains of 20 % in one step", "neo_hookean", _HEX, "Q1", (16,)),
        Case("heat-steps", "Heat, 100 steps with one hierarchy", "heat_steps", _HEX, "Q1", (16,)),
        Case("heat-gradient", "Heat, 100 steps with one hierarchy, and gradient", "heat_gradient", _HEX, "Q1", (16,)),
        Case("batch", "Heat, 64 scenarios in one call", "batch", _HEX, "Q1", (16,)),
        Case("heater-board", "The fit of a board with two heaters", "calibration", "", "", (1,)),
        Case("multistart", "Fits of a heated plate from many starts", "calibration", "", "", (16,)),
        Case("van-der-pol", "Van der Pol, μ near 5: an ensemble, and gradient", "ensembles", "", "", (1000,)),
        Case("robertson", "Robertson to 1e5: an ensemble, and gradient", "ensembles", "", "", (1000,)),
        Case("lorenz", "Lorenz: an ensemble that is not stiff", "ensembles", "", "", (100_000,)),
        Case("hard-box", "Hard for multigrid, hexahedra", "robustness", _HEX, "Q1", (16,)),
        Case("hard-shuffled", "Hard for multigrid, hexahedra in no order", "robustness", _HEX, "Q1", (16,), True),
        Case("hard-tet", "Hard for multigrid, tetrahedra in no order", "robustness", _TET, "P1", (16,), True),
    )
}

RTOL = 1e-8
"""Relative tolerance of every iterative solve, on the residual in the Euclidean norm."""

STEPS, STEP = 200, 0.005
"""Number and length of the time steps of the transient case, in s."""

SCENARIOS = 64
"""Solves in one call of the batch case."""

ERROR_DEGREE = {"P1": 5, "Q1": 5, "P2": 8, "Q2": 8}
"""Degree of the rule that measures the error: high enough that codes with other rules agree on it."""
