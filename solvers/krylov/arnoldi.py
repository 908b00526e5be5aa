"""One restart cycle of the generalised minimal residual method, for `GMRES` and `FGMRES`."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.krylov.common import Progress, nonzero, restarted
from gemel.solvers.operators import LinearOperator


class _Cycle(NamedTuple):
    """The basis, the preconditioned basis (no rows where it is not kept), the triangle R of the rotated Hessenberg
    matrix, the rotations, the rotated right-hand side, the number of columns, and whether the space is exhausted.
    """

    basis: Array
    directions: Array
    triangle: Array
    rotations: Array
    g: Array
    columns: Array
    dead: Array


def advance_cycle(
    operator: LinearOperator,
    precondition: Callable[[Array], Array],
    target: Float[Array, ""],
    now: Progress,
    max_steps: int,
    size: int,
    flexible: bool,
) -> Progress:
    """One cycle of an iteration that starts again after ``size`` products; ``flexible`` as below."""
    left = max_steps - now.steps
    change, taken = _minimal_residual(operator.mv, precondition, now.r, target, left, size, flexible)
    return restarted(operator, now, change, taken)


def _minimal_residual(
    product: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    r: Float[Array, " n"],
    target: Float[Array, ""],
    left: Array,
    size: int,
    flexible: bool,
) -> tuple[Float[Array, " n"], Array]:
    """Return the correction that minimises ‖r − A z‖₂ over at most ``size`` directions, and how many it took.

    Ends early where that norm meets ``target`` or after ``left`` products. ``flexible`` keeps what the preconditioner
    made of each basis vector, twice the memory, so that it may change from one to the next. Gram-Schmidt runs twice.
    """
    m, n = size, r.shape[0]
    beta = jnp.linalg.norm(r)
    start = _Cycle(
        jnp.zeros((m + 1, n), r.dtype).at[0].set(r / nonzero(beta)),
        jnp.zeros((m if flexible else 0, n), r.dtype),
        jnp.eye(m, dtype=r.dtype),
        jnp.zeros((m, 2), r.dtype).at[:, 0].set(1.0),
        jnp.zeros(m + 1, r.dtype).at[0].set(beta),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
    )

    def proceed(now: _Cycle) -> Array:
        return (now.columns < m) & (now.columns < left) & (jnp.abs(now.g[now.columns]) > target) & ~now.dead

    def extend(now: _Cycle) -> _Cycle:
        z = precondition(now.basis[now.columns])
        directions = now.directions.at[now.columns].set(z) if flexible else now.directions
        return _rotated(now._replace(directions=directions), *_orthogonalised(now.basis, product(z)))

    end = jax.lax.while_loop(proceed, extend, start)
    g = jnp.where(jnp.arange(m) < end.columns, end.g[:m], 0.0)
    y = jax.scipy.linalg.solve_triangular(end.triangle, g)
    change = y @ end.directions if flexible else precondition(y @ end.basis[:m])
    return change, end.columns


def _orthogonalised(basis: Array, w: Array) -> tuple[Array, Array, Array]:
    """What is left of w beside the basis, its coefficients there, and the size of the rest: zero where it is rounding.

    Rows of the basis that are not yet set are zero.
    """
    before = jnp.linalg.norm(w)
    h = basis @ w
    w = w - h @ basis
    again = basis @ w
    w, h = w - again @ basis, h + again
    size = jnp.linalg.norm(w)
    size = jnp.where(size <= 8 * jnp.finfo(w.dtype).eps * before, 0.0, size)
    return w, h, size


def _rotated(now: _Cycle, w: Array, h: Array, size: Array) -> _Cycle:
    """Add a column of the Hessenberg matrix and rotate its entry below the diagonal away."""
    m, j = now.triangle.shape[0], now.columns
    h = h.at[j + 1].set(size)

    def rotate(i, h):
        c, s = now.rotations[i]
        return h.at[i].set(c * h[i] + s * h[i + 1]).at[i + 1].set(c * h[i + 1] - s * h[i])

    h = jax.lax.fori_loop(0, m, lambda i, h: jnp.where(i < j, rotate(i, h), h), h)
    radius = jnp.hypot(h[j], h[j + 1])
    # The last column of a singular system depends on the others: it is left out (its rotated right-hand side is zero).
    dead = radius <= 8 * jnp.finfo(h.dtype).eps * jnp.linalg.norm(h)
    c = jnp.where(dead, 0.0, h[j] / nonzero(radius))
    s = jnp.where(dead, 1.0, h[j + 1] / nonzero(radius))
    column = jnp.where(jnp.arange(m) < j, h[:m], 0.0).at[j].set(jnp.where(dead, 1.0, radius))
    g = now.g.at[j + 1].set(-s * now.g[j]).at[j].set(c * now.g[j])
    return now._replace(
        basis=now.basis.at[j + 1].set(w / nonzero(jnp.linalg.norm(w)) * (size > 0)),
        triangle=now.triangle.at[:, j].set(column),
        rotations=now.rotations.at[j].set(jnp.stack([c, s])),
        g=g,
        columns=j + 1,
        dead=dead | (size == 0),
    )
