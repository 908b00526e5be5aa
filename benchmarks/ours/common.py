"""What the rows of Gemel share: set-up on the host, assembly, solve, and the cost of one operator apply."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

import gemel as gm
from benchmarks import exact
from benchmarks.cases import ERROR_DEGREE, Case
from benchmarks.measure import Stages, Timing, peak_mib, timed
from gemel.engine.compiling import sharing
from gemel.engine.problems import DiscreteProblem
from gemel.meshes import Mesh
from gemel.solvers import AssembledOperator, Lattice, Solution, SparseOperator, StencilOperator, linear_solve

Row = dict[str, Any]


_SIDES = {"left": (0, 0), "right": (0, 1), "front": (1, 0), "back": (1, 1), "bottom": (2, 0), "top": (2, 1)}
"""Names of the sides of a box, by the coordinate that is constant there and its value."""


def cube(case: Case, n: int, stages: Stages | None = None) -> Mesh:
    """The unit cube of n³ blocks; where it is shuffled, with the sides tagged for a displacement only.

    Points and cells in no order are made before the clock starts: the other codes are given them as arrays, too.
    """
    stages = Stages() if stages is None else stages
    if not case.shuffled:
        with stages("mesh"):
            return gm.box(n, n, n, cell=case.cell)
    points, cells = _in_no_order(gm.box(n, n, n, cell=case.cell))
    with stages("mesh"):
        mesh = Mesh.of(points=points, cells=cells, cell_type=case.cell)  # pyright: ignore[reportArgumentType]
        for name, (axis, end) in _SIDES.items() if case.vector else ():
            mesh = mesh.tag_facets(name, lambda x, axis=axis, end=end: np.abs(x[:, axis] - end) < 1e-9)
    return mesh


def set_up(build: Callable[[Case, int, Stages], Any], case: Case, n: int) -> tuple[Any, Stages]:
    """What ``build`` makes, and the stages so far; ``compile`` is what the first use takes on small problems.

    There numba compiles the loops of planning and of multigrid's set-up, or reads them from its own cache on disk, and
    JAX compiles what planning calls. The other codes on JAX are measured likewise.
    """
    stages = Stages()
    with stages("compile"):
        build(case, 4, Stages())
        jax.block_until_ready(_small_hierarchy(case))
    return build(case, n, stages), stages


def _small_hierarchy(case: Case) -> Any:
    """Multigrid for a small matrix of the kind that the case has: on a lattice, or a chain of nodes."""
    width = 3 if case.vector else 1
    if not case.shuffled and case.cell == "hexahedron":
        lattice = Lattice((17, 17, 17), width, (1.0, 1.0, 1.0))
        values = np.zeros(lattice.half)
        values[0, range(width), range(width)] = 1.0
        return gm.Multigrid().init(StencilOperator(lattice, jnp.asarray(values), True))
    nodes = 2000
    chain = scipy.sparse.diags_array((-1.0, 2.0, -1.0), offsets=(-1, 0, 1), shape=(nodes, nodes))  # pyright: ignore[reportArgumentType]
    matrix = scipy.sparse.csr_array(scipy.sparse.kron(chain, np.eye(width)))
    return gm.AMG(block=width).init(SparseOperator.from_scipy(matrix, symmetric=True))


def shuffled(mesh: Mesh) -> Mesh:
    """The same cells with nodes and cells numbered at random, without tags."""
    points, cells = _in_no_order(mesh)
    return Mesh.of(points=points, cells=cells, cell_type=mesh.blocks[0].cell_type)


def _in_no_order(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    places = rng.permutation(mesh.n_points)
    points = np.empty_like(np.asarray(mesh.points))
    points[places] = mesh.points
    return points, places[rng.permutation(np.asarray(mesh.cells))].astype(np.int32)


def moving_sources() -> list[gm.Term]:
    """The sources of `exact.transient_scalar`, which follow the inputs "swing" and "rate"."""
    flows = gm.Profile(lambda x, swing: swing * exact.source(jnp, x), (gm.Input("swing"),))
    stores = gm.Profile(lambda x, rate: rate * exact.scalar(jnp, x), (gm.Input("rate"),))
    return [gm.HeatSource("all", flows), gm.HeatSource("all", stores)]


def motions(times: np.ndarray) -> dict[str, gm.Series]:
    """The inputs of `moving_sources`, exact at the given times and linear in between."""
    values = {"swing": exact.swing, "rate": exact.swing_rate}
    return {name: gm.Series(times, value(np, times), hold=False) for name, value in values.items()}


@sharing
def assemble(problem: DiscreteProblem) -> tuple[Any, jax.Array]:
    """The tangent and the right-hand side at zero."""
    start = problem.constraint.lift(jnp.zeros(problem.space.n_dofs))
    operator, residual = problem.linearised(start)
    return operator, -residual


@eqx.filter_jit
def solve(operator: Any, b: jax.Array, solver: Any, state: Any) -> Solution:
    """One linear solve with a prepared preconditioner."""
    return linear_solve(operator, b, solver, state)


@eqx.filter_jit
def _apply(operator: Any, x: jax.Array) -> jax.Array:
    return operator.mv(x)


def boundary_value_problem(physics: gm.Physics, stages: Stages, rtol: float, repeat: int) -> tuple[Any, Row]:
    """Assemble, set multigrid up and solve; the flat field and what it took.

    Raises `SolveError` where the solve misses its tolerance: a wrong answer gets no time.
    """
    wait = jax.block_until_ready
    solver = gm.Steady(physics, rtol=rtol).linear_solver
    (operator, b), assembly = timed(lambda: assemble(physics.problem), repeat, wait)
    state, preparing = timed(lambda: solver.init(operator), 1, wait)
    on_device = isinstance(operator, StencilOperator) and jax.default_backend() != "cpu"  # by a compiled program
    stages.seconds["preconditioner"] = preparing.best if on_device else preparing.first
    solution, solving = timed(lambda: solve(operator, b, solver, state), repeat, wait)
    u = solution.checked()
    row = {
        **measured(stages, assembly, solving, *([preparing] if on_device else [])),
        "unknowns": physics.problem.space.n_dofs,
        "assemble_s": assembly.best,
        "assemble_median_s": assembly.median,
        "solve_s": solving.best,
        "solve_median_s": solving.median,
        "iterations": int(solution.statistics["steps"]),
        "peak_mib": peak(),
        **apply_cost(operator, b),
    }
    return u, row


def measured(stages: Stages, *compiled: Timing) -> Row:
    """The seconds of the stages, and what the calls compiled."""
    compiling = stages.seconds["compile"] + sum(timing.compile for timing in compiled)
    return {f"{name}_s": seconds for name, seconds in (stages.seconds | {"compile": compiling}).items()}


def apply_cost(operator: Any, x: jax.Array) -> Row:
    """Seconds of one product beside the bytes that it must move and this process' copy bandwidth.

    Bytes: every stored value (8) and, in padded rows, the column of every block (4), with the padding; the vector read
    and written once, and the table that restores the order of rows. Two operations for each nonzero.
    """
    _, timing = timed(lambda: _apply(operator, x), 20, jax.block_until_ready)
    moved, nonzeros = _traffic(operator)
    return {
        "nonzeros": nonzeros,
        "apply_s": timing.best,
        "apply_bytes": moved,
        "apply_operations": 2 * nonzeros,
        "apply_gb_s": moved / timing.best / 1e9,
        "copy_gb_s": copy_bandwidth(),
    }


def _traffic(operator: AssembledOperator) -> tuple[int, int]:
    """The bytes of one product, and how many entries the matrix has."""
    if isinstance(operator, StencilOperator):
        entries = math.prod(3 * n - 2 for n in operator.lattice.nodes) * operator.lattice.components**2
        return 8 * operator.values.size + 16 * operator.n, entries
    rows = operator.pattern.forward
    stored = sum(values.size for values in operator.values)
    tables = rows.slots + (0 if rows.order is None else rows.order.size)
    return 8 * stored + 4 * tables + 16 * operator.n, operator.pattern.nnz


def copy_bandwidth() -> float:
    """GB/s of x + 1 in place on 128 MiB, on a GPU on 1 GiB, read and write counted."""
    x = jnp.zeros(2**24 if jax.default_backend() == "cpu" else 2**27)
    add = jax.jit(lambda x, passes: jax.lax.fori_loop(0, passes, lambda _, x: x + 1, x))
    _, timing = timed(lambda: add(x, 10), 3, jax.block_until_ready)
    return 10 * 2 * x.nbytes / timing.best / 1e9


def peak() -> float | None:
    """Peak memory in MiB: the device's own count where it has one, else the process'."""
    statistics = jax.devices()[0].memory_stats()
    if statistics and "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"] / 2**20
    return peak_mib()


def relative_error(space: Any, u: Any, exact: Any) -> float:
    """‖u − exact‖ / ‖exact‖ in L2, for one field."""
    degree = ERROR_DEGREE[space.name]

    @jax.jit
    def squares(field: jax.Array) -> tuple[jax.Array, jax.Array]:
        off = gm.integrate(space, lambda u, p: jnp.sum((u.value - exact(p.x)) ** 2), field, degree=degree)
        return off, gm.integrate(space, lambda u, p: jnp.sum(exact(p.x) ** 2), degree=degree)

    off, size = squares(space.unflatten(u))
    return float(jnp.sqrt(off / size))


def forward_and_gradient(forward: Timing, gradient: Timing) -> Row:
    """The times of a functional and of its gradient, and their ratio from the best of each."""
    return {
        "forward_s": forward.best,
        "forward_median_s": forward.median,
        "gradient_s": gradient.best,
        "gradient_median_s": gradient.median,
        "gradient_ratio": gradient.best / forward.best,
    }
