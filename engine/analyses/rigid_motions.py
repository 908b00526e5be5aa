"""Which rigid motions of a body nothing holds; on the host, before a solve."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from gemel.engine.coefficients import undriven
from gemel.engine.physics import Physics
from gemel.engine.problems import DiscreteProblem
from gemel.engine.spaces import FunctionSpace
from gemel.solvers.placing import known

_TOLERANCE = 1e-13
"""Forces and violations below this, per unit motion and root of the number of unknowns, are rounding errors."""

_MOST_PARTS = 20
"""Bodies in more parts are looked at as one."""

_AXES = "xyz"


@eqx.filter_jit
def tangent_at_rest(problem: DiscreteProblem) -> Any:
    """The condensed tangent where the field and the inputs are zero."""
    return undriven(problem).tangent(jnp.zeros(problem.space.n_dofs))


def check_held(physics: Physics, tangent: Any, advice: str = "prescribe displacements there or add springs") -> None:
    """Raise `ValueError` with the rigid motions that neither conditions nor springs hold, where there are any.

    In a linear problem for a scalar that is a constant. Skipped where values are traced, and where an input enters
    the tangent.
    """
    if not known((tangent, physics.problem.space.mesh.points)):
        return
    if not physics.problem.steady_tangent:
        return
    motions = unconstrained_modes(physics, tangent)
    if motions:
        listed = motions[0] if len(motions) == 1 else f"{', '.join(motions[:-1])} and {motions[-1]}"
        if physics.near_nullspace() is None:
            raise ValueError(
                "Nothing fixes the level of the field: prescribe a value somewhere, or let it exchange with its "
                "surroundings, as by Convection."
            )
        raise ValueError(f"Nothing holds the body against {listed}: {advice}.")


def unconstrained_modes(physics: Physics, tangent: Any) -> tuple[str, ...]:
    r"""The names of the rigid motions $r$ that the conditions admit and that cost no force, $T^\top K T r = 0$.

    Args:
        physics: a body; a linear problem for a scalar has the constants, other physics without `near_nullspace` none.
        tangent: its condensed tangent, an `AssembledOperator` with known values.

    Returns:
        Such as ``("translation along x", "rotation about z")``, empty for a body that is held. Cheap: one
        product with the tangent for each motion.
    """
    modes, space = physics.near_nullspace(), physics.problem.space
    if modes is None and physics.problem.linear and isinstance(space, FunctionSpace) and not space.shape:
        modes = np.ones((space.n_dofs, 1))
    if modes is None or not isinstance(space, FunctionSpace) or modes.shape[0] != space.n_dofs:
        return ()
    with jax.ensure_compile_time_eval():
        x = np.asarray(space.node_places())
    modes = modes / np.maximum(np.abs(modes).max(axis=0), 1e-300)
    parts = _parts(physics.problem, space.n_components)
    names: list[str] = []
    for mine in parts:
        rows = np.repeat(mine, space.n_components)
        null = _unheld(physics.problem, tangent, modes * rows[:, None])
        motions = (modes[rows] @ null.T).reshape(int(mine.sum()), space.n_components, len(null))
        where = "" if len(parts) == 1 else f" of the part around {_numbers(x[mine].mean(axis=0))}"
        names += [name + where for name in (_named(x[mine], motions) if len(null) else ())]
    return tuple(names)


def _parts(problem: DiscreteProblem, block: int) -> list[np.ndarray]:
    """The nodes of each part that neither cells nor ties connect to the others; the whole where there are many."""
    graph, ties = problem.layout.graph(), problem.constraint.ties
    size = problem.space.n_dofs // block
    if ties is not None:
        tied, masters = (side // block for side in ties.connections())
        graph = graph + scipy.sparse.csr_array((np.ones(len(tied), dtype=bool), (tied, masters)), shape=graph.shape)
    count, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return [part == number for number in range(count)] if count <= _MOST_PARTS else [np.ones(size, dtype=bool)]


def _unheld(problem: DiscreteProblem, tangent: Any, modes: np.ndarray) -> np.ndarray:
    """The combinations ``(k, n_modes)`` of modes that are admissible and cost no force."""
    constraint = problem.constraint
    free = np.asarray(constraint.free)
    if constraint.ties is None:
        violation = modes[~free]
    else:
        violation = modes - np.asarray(jax.vmap(constraint.extend, 1, 1)(jnp.asarray(modes)))
    if len(violation) >= modes.shape[1] and np.linalg.svd(_triangle(violation), compute_uv=False)[-1] > 1e-3:
        return np.zeros((0, modes.shape[1]))
    forces = tangent.to_scipy() @ np.where(free[:, None], modes, 0.0)
    scale = float(np.abs(np.asarray(tangent.diagonal()) * free).max())
    stacked = np.concatenate([violation, forces * free[:, None] / max(scale, 1e-300)])
    _, sizes, rows = np.linalg.svd(_triangle(stacked))
    sizes = np.concatenate([sizes, np.zeros(len(rows) - len(sizes))])
    return rows[sizes <= _TOLERANCE * np.sqrt(len(modes))]


def _triangle(matrix: np.ndarray) -> np.ndarray:
    """The triangular factor of a tall matrix: the same singular values, few rows."""
    return np.asarray(np.linalg.qr(matrix, mode="r")) if len(matrix) > matrix.shape[1] else matrix


def _named(x: np.ndarray, motions: np.ndarray) -> tuple[str, ...]:
    """Names of rigid motions ``(n, components, k)`` of nodes ``x (n, dim)``, the first components displacements."""
    n, dim = x.shape
    if motions.shape[1] < dim:
        return ("a motion that costs no energy",)
    centre = x.mean(axis=0)
    rigid = _rigid(x - centre)
    fields = motions[:, :dim].reshape(n * dim, -1)
    shares, *_ = np.linalg.lstsq(rigid, fields, rcond=None)
    if np.abs(rigid @ shares - fields).max() > 1e-6 * np.abs(fields).max():
        return ("a motion that costs no energy",)
    basis = np.linalg.qr(shares)[0]
    translations = [i for i in range(dim) if np.linalg.norm(basis[i]) > 1 - 1e-6]
    names = [f"translation along {_AXES[i]}" for i in translations]
    rest = _echelon(np.delete(basis, translations, axis=0).T if translations else basis.T, len(basis[0]) - len(names))
    for row in rest:
        whole = np.zeros(len(rigid[0]))
        whole[np.setdiff1d(np.arange(len(whole)), translations)] = row
        names.append(_name(whole[:dim], whole[dim:], centre, bool(translations)))
    return tuple(names)


def _rigid(r: np.ndarray) -> np.ndarray:
    """Translations, then rotations about the coordinate axes through the origin of ``r``."""
    n, dim = r.shape
    planes = [(0, 1)] if dim == 2 else [(1, 2), (2, 0), (0, 1)]
    modes = np.zeros((n, dim, dim + len(planes)))
    modes[:, np.arange(dim), np.arange(dim)] = 1.0
    for k, (i, j) in enumerate(planes):
        modes[:, i, dim + k], modes[:, j, dim + k] = -r[:, j], r[:, i]
    return modes.reshape(n * dim, -1)


def _echelon(rows: np.ndarray, rank: int) -> np.ndarray:
    """A basis of the span of ``rows`` by elimination from the last column, so that rotations come one by one."""
    rows, found = rows.copy(), []
    for column in range(rows.shape[1] - 1, -1, -1):
        if len(found) == rank or not len(rows):
            break
        pivot = int(np.argmax(np.abs(rows[:, column])))
        if abs(rows[pivot, column]) < 1e-6:
            continue
        row = rows[pivot] / rows[pivot, column]
        rows = np.delete(rows, pivot, axis=0)
        rows = rows - rows[:, column : column + 1] * row
        found = [other - other[column] * row for other in found] + [row]
    return np.array(found[::-1]).reshape(len(found), rows.shape[1])


def _name(shift: np.ndarray, turn: np.ndarray, centre: np.ndarray, anywhere: bool) -> str:
    """One motion in words, given its translation of the centre and its rotation."""
    dim = len(shift)
    if np.linalg.norm(turn) < 1e-6 * np.linalg.norm(shift):
        return f"translation along {_numbers(shift / np.abs(shift).max())}"
    full = np.array([0.0, 0.0, turn[0]]) if dim == 2 else turn
    lever = np.cross(full, np.append(shift, [0.0] * (3 - dim)))[:dim] / (full @ full)
    size = np.abs(full).max()
    aligned = np.sort(np.abs(full))[1] < 1e-6 * size
    axis = _AXES[int(np.argmax(np.abs(full)))] if aligned else f"the direction {_numbers(full / size)}"
    return f"rotation about {axis}" + ("" if anywhere else f" through {_numbers(centre + lever)}")


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value + 0.0:.4g}" for value in np.where(np.abs(values) < 1e-9, 0.0, values)) + ")"
