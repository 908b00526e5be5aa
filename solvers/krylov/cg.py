"""Conjugate gradients."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.krylov.common import KrylovSolver, Progress, halted
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code


class _Own(NamedTuple):
    """The direction p, ρ = rᵀM⁻¹r, pᵀMp, and the largest pᵀAp / pᵀMp so far."""

    p: Array
    rho: Array
    length: Array
    largest: Array


class CG(KrylovSolver):
    """Preconditioned conjugate gradients for symmetric positive definite operators.

    Stops where ‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol). A step with pᵀA p < 0 or rᵀM⁻¹r < 0 ends it with ``BREAKDOWN``: the
    operator or the preconditioner is not positive definite. A singular operator is no obstacle where the system has
    solutions; where it has none, the directions turn into its null space, pᵀA p vanishes against λ_max(M⁻¹A) pᵀM p,
    and the status is ``STAGNATION``.

    Hestenes, Stiefel, *Methods of conjugate gradients for solving linear systems*, J. Res. NBS 49 (1952); singular
    systems: Kaasschieter, J. Comput. Appl. Math. 24 (1988).
    """

    preconditioner: Preconditioner
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)

    def begin(self, state: Any, operator: LinearOperator, r: Float[Array, " n"]) -> _Own:
        """No direction yet."""
        zero = jnp.zeros((), r.dtype)
        return _Own(jnp.zeros_like(r), zero, zero, zero)

    def advance(self, state: Any, operator: LinearOperator, target: Float[Array, ""], now: Progress) -> Progress:
        """Minimise the energy along the next conjugate direction."""
        own = now.own
        z = self.preconditioner.apply(state, now.r)
        rho = jnp.vdot(now.r, z)
        beta = jnp.where(own.rho == 0, 0.0, rho / jnp.where(own.rho == 0, 1.0, own.rho))
        p = z + beta * own.p
        length = rho + beta**2 * own.length  # pᵀMp, as r is orthogonal to the last p
        q = operator.mv(p)
        curvature = jnp.vdot(p, q)
        largest = jnp.maximum(own.largest, jnp.abs(curvature) / jnp.where(length == 0, 1.0, length))
        # Below this a curvature is the rounding of a zero, of either sign.
        flat = jnp.abs(curvature) <= 8 * jnp.finfo(p.dtype).eps * largest * length
        negative = (rho < 0) | (~flat & (curvature < 0))
        halt = halted((negative, Code.BREAKDOWN), (flat, Code.STAGNATION))
        alpha = jnp.where(halt != 0, 0.0, rho / jnp.where(curvature == 0, 1.0, curvature))
        r = now.r - alpha * q
        x = now.x + alpha * p
        return Progress(x, r, jnp.linalg.norm(r), now.steps + 1, halt, _Own(p, rho, length, largest))
