"""Krylov methods: conjugate gradients and restarted GMRES."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.linear_solver import LinearSolver, Preconditioner
from gemel.solvers.operators import LinearOperator, transposed
from gemel.solvers.solution import Code, Solution, Status


def _finish(
    x: Array, b: Array, operator: LinearOperator, target: Array, steps: Array, broken: Array, limit: int
) -> Solution[Array]:
    """Judge a result by its true residual: the recurrence may claim more than rounding allows."""
    residual = jnp.linalg.norm(b - operator.mv(x))
    code = jnp.where(residual <= 2.0 * target, Code.SUCCESS, Code.STAGNATION)
    code = jnp.where((code != Code.SUCCESS) & (steps >= limit), Code.MAX_STEPS, code)
    code = jnp.where((code != Code.SUCCESS) & broken, Code.BREAKDOWN, code)
    code = jnp.where(jnp.isfinite(residual), code, Code.NOT_FINITE)
    return Solution(x, Status(code.astype(jnp.int32)), {"steps": steps, "residual": residual})


class CG(LinearSolver):
    """Preconditioned conjugate gradients for symmetric positive definite operators.

    Stops where ‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol). A step with pᵀA p ≤ 0 or rᵀM⁻¹r < 0 ends it with
    ``BREAKDOWN``: the operator or the preconditioner is not positive definite. Where the recurrence met
    the tolerance and the true residual misses twice it, rounding has the last word and the status is
    ``STAGNATION``.

    Hestenes, Stiefel, *Methods of conjugate gradients for solving linear systems*, J. Res. NBS 49 (1952).
    """

    preconditioner: Preconditioner
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)

    def init(self, operator: LinearOperator) -> Any:
        """Set the preconditioner up."""
        return self.preconditioner.init(operator)

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Let the preconditioner follow new values."""
        return self.preconditioner.update(state, operator)

    def compute(
        self,
        state: Any,
        operator: LinearOperator,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve A x = b; A is symmetric, so ``transpose`` changes nothing."""
        target = jnp.maximum(self.rtol * jnp.linalg.norm(b), self.atol)
        x = jnp.zeros_like(b) if x0 is None else x0
        r = b if x0 is None else b - operator.mv(x0)

        def proceed(carry):
            _, _, _, _, norm, step, broken = carry
            return (norm > target) & (step < self.max_steps) & ~broken

        def advance(carry):
            x, r, p, rho, _, step, _ = carry
            z = self.preconditioner.apply(state, r)
            new_rho = jnp.vdot(r, z)
            p = z + jnp.where(step == 0, 0.0, new_rho / rho) * p
            q = operator.mv(p)
            curvature = jnp.vdot(p, q)
            broken = (curvature <= 0) | (new_rho < 0)
            alpha = jnp.where(broken, 0.0, new_rho / jnp.where(broken, 1.0, curvature))
            r = r - alpha * q
            return x + alpha * p, r, p, new_rho, jnp.linalg.norm(r), step + 1, broken

        one = jnp.ones((), b.dtype)
        start = (
            x,
            r,
            jnp.zeros_like(b),
            one,
            jnp.linalg.norm(r),
            jnp.zeros((), jnp.int32),
            jnp.zeros((), bool),
        )
        x, _, _, _, _, steps, broken = jax.lax.while_loop(proceed, advance, start)
        return _finish(x, b, operator, target, steps, broken, self.max_steps)


class GMRES(LinearSolver):
    """Right-preconditioned restarted GMRES for unsymmetric or indefinite operators.

    Stops where ‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol). ``max_steps`` counts products over all restarts;
    ``restart`` is the size of the Krylov basis, which is the memory it takes. Gram-Schmidt runs twice.

    Saad, Schultz, *GMRES*, SIAM J. Sci. Stat. Comput. 7 (1986).
    """

    preconditioner: Preconditioner
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)
    restart: int = eqx.field(static=True)

    def init(self, operator: LinearOperator) -> Any:
        """Set the preconditioner up."""
        return self.preconditioner.init(operator)

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Let the preconditioner follow new values."""
        return self.preconditioner.update(state, operator)

    def compute(
        self,
        state: Any,
        operator: LinearOperator,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve A x = b or Aᵀ x = b."""
        operator = transposed(operator) if transpose else operator
        target = jnp.maximum(self.rtol * jnp.linalg.norm(b), self.atol)
        x = jnp.zeros_like(b) if x0 is None else x0
        r = b if x0 is None else b - operator.mv(x0)

        def proceed(carry):
            _, r, steps, stuck = carry
            return (jnp.linalg.norm(r) > target) & (steps < self.max_steps) & ~stuck

        def cycle(carry):
            x, r, steps, _ = carry
            dx, taken = self._cycle(state, operator, r, target, self.max_steps - steps)
            x = x + dx
            new = b - operator.mv(x)
            stuck = ~(jnp.linalg.norm(new) < (1 - 1e-6) * jnp.linalg.norm(r))
            return x, new, steps + taken, stuck

        start = (x, r, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        x, _, steps, _ = jax.lax.while_loop(proceed, cycle, start)
        return _finish(x, b, operator, target, steps, jnp.zeros((), bool), self.max_steps)

    def _cycle(self, state: Any, operator: LinearOperator, r: Array, target: Array, left: Array):
        """Return the correction of one restart cycle and the number of products it took."""
        m, n = self.restart, r.shape[0]
        beta = jnp.linalg.norm(r)
        basis = jnp.zeros((m + 1, n), r.dtype).at[0].set(r / jnp.where(beta == 0, 1.0, beta))
        triangle = jnp.eye(m, dtype=r.dtype)
        rotations = jnp.zeros((m, 2), r.dtype).at[:, 0].set(1.0)
        g = jnp.zeros(m + 1, r.dtype).at[0].set(beta)

        def proceed(carry):
            _, _, _, g, j, dead = carry
            return (j < m) & (j < left) & (jnp.abs(g[j]) > target) & ~dead

        def extend(carry):
            basis, triangle, rotations, g, j, _ = carry
            w = operator.mv(self.preconditioner.apply(state, basis[j]))
            h = basis @ w
            w = w - h @ basis
            again = basis @ w
            w, h = w - again @ basis, h + again
            size = jnp.linalg.norm(w)
            h = h.at[j + 1].set(size)

            def rotate(i, h):
                c, s = rotations[i]
                return h.at[i].set(c * h[i] + s * h[i + 1]).at[i + 1].set(c * h[i + 1] - s * h[i])

            h = jax.lax.fori_loop(0, m, lambda i, h: jnp.where(i < j, rotate(i, h), h), h)
            radius = jnp.hypot(h[j], h[j + 1])
            dead = radius == 0
            c = jnp.where(dead, 1.0, h[j] / jnp.where(dead, 1.0, radius))
            s = jnp.where(dead, 0.0, h[j + 1] / jnp.where(dead, 1.0, radius))
            column = jnp.where(jnp.arange(m) < j, h[:m], 0.0).at[j].set(jnp.where(dead, 1.0, radius))
            basis = basis.at[j + 1].set(w / jnp.where(size == 0, 1.0, size))
            g = g.at[j + 1].set(-s * g[j]).at[j].set(c * g[j])
            triangle_new, rotations_new = (
                triangle.at[:, j].set(column),
                rotations.at[j].set(jnp.stack([c, s])),
            )
            return basis, triangle_new, rotations_new, g, j + 1, dead

        start = (basis, triangle, rotations, g, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        basis, triangle, _, g, j, _ = jax.lax.while_loop(proceed, extend, start)
        y = jax.scipy.linalg.solve_triangular(triangle, jnp.where(jnp.arange(m) < j, g[:m], 0.0))
        return self.preconditioner.apply(state, y @ basis[:m]), j
