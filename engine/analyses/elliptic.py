"""The solver of boundary-value problems that is chosen where none is given."""

import itertools
from collections.abc import Sequence

import numpy as np

from gemel.engine.nesting import lower_degrees, prolongation
from gemel.engine.physics import Physics
from gemel.engine.spaces import FunctionSpace, MixedSpace
from gemel.solvers import AMG, CG, GMRES, LinearSolver, Multigrid, SparseDirect
from gemel.solvers.nesting import Prolongation


def elliptic_solver(
    physics: Physics,
    rtol: float = 1e-10,
    max_steps: int = 500,
    coarser: Sequence[FunctionSpace] = (),
    reform: bool = False,
) -> LinearSolver:
    """Conjugate gradients, or GMRES where the tangent is not symmetric, with multigrid: geometric on a lattice, else
    smoothed aggregation, after p-multigrid where the degree is above 1.

    Several fields make tangents that are indefinite or badly scaled against each other: they are solved directly. So
    are lines, where factors are as sparse as the matrix; slender members leave residuals of about 1e-8.

    Args:
        physics: what is solved.
        rtol: relative tolerance of the residual; direct solvers take 1e-8 (1e-7 on lines) where it is less.
        max_steps: limit of iterations of one solve.
        coarser: spaces on coarser meshes from which that of ``physics`` was refined, the finest first: geometric
            multigrid goes through them before it aggregates. Their shapes do not matter.
        reform: form the coarse matrices again whenever parameters change, see `AMG`.

    Raises:
        ValueError: for coarser spaces where unknowns are tied, which they would not know of, or elements are
            discontinuous, and for spaces that do not hold one another.
    """
    space = physics.problem.space
    if isinstance(space, MixedSpace):
        return SparseDirect(rtol=max(rtol, 1e-8))
    if space.mesh.cell_dim == 1:
        return SparseDirect(rtol=max(rtol, 1e-7))
    modes = physics.near_nullspace()
    if modes is not None:
        modes = modes * np.asarray(physics.problem.constraint.free)[:, None]
    symmetric = physics.problem.symmetric
    # What GMRES adds up in the end goes through one more cycle, whose rounding its residuals have not seen.
    dtype = "float32" if symmetric else "float64"
    nested, block = _nested(physics, coarser), space.n_components
    algebraic = AMG(near_nullspace=modes, nested=nested, block=block, reform=reform, dtype=dtype)
    multigrid = Multigrid(algebraic, dtype=dtype)
    if symmetric:
        return CG(multigrid, rtol=rtol, atol=0.0, max_steps=max_steps)
    return GMRES(multigrid, rtol=rtol, atol=0.0, max_steps=max_steps, restart=50)


def _nested(physics: Physics, coarser: Sequence[FunctionSpace]) -> tuple[Prolongation, ...]:
    problem = physics.problem
    space = problem.space
    assert isinstance(space, FunctionSpace)
    if problem.constraint.ties is not None or not space.continuous:
        if coarser:
            raise ValueError("Coarser spaces serve continuous elements and unknowns without ties: leave 'coarser' out.")
        return ()
    if not coarser:
        return lower_degrees(space)
    spaces = [space, *coarser]
    between = (prolongation(below, above) for above, below in itertools.pairwise(spaces))
    return (*between, *lower_degrees(spaces[-1]))
