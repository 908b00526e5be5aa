"""The minimal residual method for symmetric indefinite operators."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.krylov.common import KrylovSolver, Progress, halted, nonzero
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code


class _Own(NamedTuple):
    """The last two Lanczos vectors (not normalised), z = M⁻¹v of the newer, the last two directions, and numbers:
    β of both vectors, the last rotation (c, s), δ̄, ε, φ̄ = ‖r‖ in the norm of M⁻¹, and the size of A.
    """

    old: Array
    v: Array
    z: Array
    older_direction: Array
    direction: Array
    old_beta: Array
    beta: Array
    c: Array
    s: Array
    delta: Array
    epsilon: Array
    phi: Array
    size: Array


class MINRES(KrylovSolver):
    """Preconditioned MINRES for symmetric operators, definite or not; the preconditioner must be positive definite.

    Minimises ‖b − A x‖ in the norm of M⁻¹ over the Krylov space; it stops by the Euclidean norm of the same residual,
    which costs one more vector: ‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol). vᵀM⁻¹v < 0 ends it with ``BREAKDOWN``: the
    preconditioner is not positive definite. A singular operator is no obstacle where the system has solutions; where
    it has none, ‖A r‖ vanishes against ‖A‖ ‖r‖ (norms of the preconditioned system), and the status is ``STAGNATION``,
    as it may be for M⁻¹A of a condition beyond 10⁷.

    Raises `ValueError` for an operator that is not marked symmetric.

    Paige, Saunders, *Solution of sparse indefinite systems of linear equations*, SIAM J. Numer. Anal. 12 (1975);
    the residual vector: Choi, Paige, Saunders, *MINRES-QLP*, SIAM J. Sci. Comput. 33 (2011).
    """

    preconditioner: Preconditioner
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)

    def begin(self, state: Any, operator: LinearOperator, r: Float[Array, " n"]) -> _Own:
        """The first Lanczos vector is the residual."""
        if not operator.symmetric:
            raise ValueError("MINRES takes operators marked symmetric; use GMRES, FGMRES or BiCGStab for this one.")
        z = self.preconditioner.apply(state, r)
        square, zero, vector = jnp.vdot(r, z), jnp.zeros((), r.dtype), jnp.zeros_like(r)
        # A square below zero stays as a negative β, which the first step reports.
        beta = jnp.sign(square) * jnp.sqrt(jnp.abs(square))
        one = jnp.ones((), r.dtype)
        return _Own(vector, r, z, vector, vector, one, beta, -one, zero, zero, zero, beta, zero)

    def advance(self, state: Any, operator: LinearOperator, target: Float[Array, ""], now: Progress) -> Progress:
        """One Lanczos step and one rotation."""
        own, eps = now.own, jnp.finfo(now.r.dtype).eps
        unit = own.z / nonzero(own.beta)
        new = operator.mv(unit) - (own.beta / own.old_beta) * own.old
        alpha = jnp.vdot(unit, new)
        new = new - (alpha / nonzero(own.beta)) * own.v
        z = self.preconditioner.apply(state, new)
        square = jnp.vdot(new, z)
        beta = jnp.sqrt(jnp.maximum(square, 0.0))
        column = jnp.sqrt(alpha**2 + beta**2 + jnp.where(own.size == 0, 0.0, own.beta) ** 2)
        size = jnp.maximum(own.size, column)
        # An exhausted Krylov space: what is left of the vector is rounding.
        beta = jnp.where(beta <= eps * size, 0.0, beta)

        delta = own.c * own.delta + own.s * alpha
        gamma_bar = own.s * own.delta - own.c * alpha
        epsilon, delta_bar = own.s * beta, -own.c * beta
        # ‖A r‖ / ‖r‖ before this step. In a system without a solution it falls to about the root of the rounding, and
        # then x runs away in the kernel.
        unsolvable = jnp.hypot(gamma_bar, delta_bar) <= 4 * jnp.sqrt(eps) * size
        gamma = jnp.hypot(gamma_bar, beta)
        c, s = gamma_bar / nonzero(gamma), beta / nonzero(gamma)
        negative = (own.beta < 0) | (square < -8 * eps * jnp.linalg.norm(new) * jnp.linalg.norm(z))
        halt = halted((negative, Code.BREAKDOWN), (unsolvable | (gamma == 0), Code.STAGNATION))
        step, phi = jnp.where(halt == 0, c * own.phi, 0.0), s * own.phi
        direction = (unit - own.epsilon * own.older_direction - delta * own.direction) / nonzero(gamma)
        x = now.x + step * direction
        r = jnp.where(halt == 0, s**2 * now.r - (phi * c / nonzero(beta)) * new, now.r)
        after = _Own(
            own.v, new, z, own.direction, direction, nonzero(own.beta), beta, c, s, delta_bar, epsilon, phi, size
        )
        return Progress(x, r, jnp.linalg.norm(r), now.steps + 1, halt, after)
