"""The stabilised biconjugate gradient method."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.krylov.common import KrylovSolver, Progress, halted, nonzero
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code


class _Own(NamedTuple):
    """The shadow residual r̂, the direction p, v = A M⁻¹ p, ρ = r̂ᵀr, α, ω, whether the method starts (again), the
    number of restarts since x moved on, the residual norm at the last restart, and the size of A.
    """

    shadow: Array
    p: Array
    v: Array
    rho: Array
    alpha: Array
    omega: Array
    fresh: Array
    failures: Array
    anchor: Array
    extent: Array


class BiCGStab(KrylovSolver):
    """Right-preconditioned BiCGStab for unsymmetric operators: short recurrences, two products a step.

    Stops where ‖b − A x‖₂ ≤ max(rtol ‖b‖₂, atol). Where r̂ᵀr, r̂ᵀA p or the stabilising step vanish against the norms
    of their factors, or the residual grows by 10⁴, the step is not taken and the method starts again with r̂ = r; where
    that has not halved the residual since the last such restart, for the third time, it ends with ``BREAKDOWN``. A
    skew-symmetric operator breaks it down at once, and eigenvalues near the imaginary axis are slow: take `GMRES`.
    Where x has grown so far that the rounding of A x exceeds the residual, as without a solution, it is
    ``STAGNATION``. ``max_steps`` counts steps.

    Van der Vorst, *Bi-CGSTAB*, SIAM J. Sci. Stat. Comput. 13 (1992); the tests: Sleijpen, van der Vorst, *Reliable
    updated residuals in hybrid Bi-CG methods*, Computing 56 (1996).
    """

    preconditioner: Preconditioner
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)

    def begin(self, state: Any, operator: LinearOperator, r: Float[Array, " n"]) -> _Own:
        """The shadow residual is the residual."""
        vector, one = jnp.zeros_like(r), jnp.ones((), r.dtype)
        zero = jnp.zeros((), jnp.int32)
        return _Own(r, vector, vector, one, one, one, jnp.ones((), bool), zero, jnp.linalg.norm(r), 0 * one)

    def advance(self, state: Any, operator: LinearOperator, target: Float[Array, ""], now: Progress) -> Progress:
        """One step of biconjugate gradients and one of minimal residuals, or a restart."""
        own, eps = now.own, jnp.finfo(now.r.dtype).eps
        shadow = jnp.where(own.fresh, now.r, own.shadow)
        scale = jnp.linalg.norm(shadow)
        rho = jnp.vdot(shadow, now.r)
        beta = jnp.where(own.fresh, 0.0, rho / nonzero(own.rho) * own.alpha / nonzero(own.omega))
        p = now.r + beta * (own.p - own.omega * own.v)
        p = jnp.where(own.fresh, now.r, p)
        ph = self.preconditioner.apply(state, p)
        v = operator.mv(ph)
        slope = jnp.vdot(shadow, v)
        bad = (jnp.abs(rho) <= eps * scale * now.norm) | (jnp.abs(slope) <= eps * scale * jnp.linalg.norm(v))
        alpha = rho / nonzero(slope)
        s = now.r - alpha * v
        sh = self.preconditioner.apply(state, s)
        t = operator.mv(sh)
        size, remains = jnp.linalg.norm(t), jnp.linalg.norm(s)
        along = jnp.vdot(t, s)
        arrived = remains <= target
        bad = bad | (~arrived & (jnp.abs(along) <= 8 * eps * size * remains))
        omega = jnp.where(arrived, 0.0, along / nonzero(size) / nonzero(size))
        r = s - omega * t
        norm = jnp.linalg.norm(r)
        bad = bad | (norm > 1e4 * own.anchor)
        failures = jnp.where(now.norm < 0.5 * own.anchor, 0, own.failures) + 1
        x, r, norm = (
            jnp.where(bad, old, new)
            for old, new in ((now.x, now.x + alpha * ph + omega * sh), (now.r, r), (now.norm, norm))
        )
        extent = jnp.maximum(own.extent, jnp.linalg.norm(v) / nonzero(jnp.linalg.norm(ph)))
        lost = norm <= eps * extent * jnp.linalg.norm(x)
        halt = halted((bad & (failures >= 3), Code.BREAKDOWN), (lost, Code.STAGNATION))
        after = _Own(
            shadow,
            p,
            v,
            rho,
            alpha,
            omega,
            bad,
            jnp.where(bad, failures, own.failures),
            jnp.where(bad, now.norm, own.anchor),
            extent,
        )
        return Progress(x, r, norm, now.steps + 1, halt, after)
