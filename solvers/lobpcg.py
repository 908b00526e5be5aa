"""Block eigenvalue iteration without factorisation, for large problems and for GPUs."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.solvers.eigen import EigenSolver, Pairs
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code, Solution, Status


class LOBPCG(EigenSolver):
    """Locally optimal block preconditioned conjugate gradients for the lowest k eigenpairs.

    Every step solves the projected problem on [X, W, P]: the vectors, their preconditioned residuals and
    the last directions. The basis is orthonormalised through the eigenvectors of its Gram matrix, and
    directions that depend on the others are dropped, so that converged vectors do no harm. ``guard`` extra
    vectors speed up the last of the k.

    A pair has converged where ‖K φ − λ M φ‖₂ ≤ max(rtol |λ| ‖M φ‖₂, atol) for M-normalised φ; atol matters
    for rigid-body modes (λ = 0). The error of an eigenvalue is of the order of the residual squared; its
    accuracy ends near machine precision times λ_max, so badly conditioned problems belong to
    `ShiftInvert`. The ``preconditioner`` approximates K⁻¹ (for a singular K that of K + αM).

    Knyazev, SIAM J. Sci. Comput. 23 (2001); basis: Stathopoulos, Wu, SIAM J. Sci. Comput. 23 (2002).
    """

    k: int = eqx.field(static=True)
    preconditioner: Preconditioner
    rtol: float
    atol: float
    max_steps: int = eqx.field(static=True)
    guard: int = eqx.field(static=True, default=4)

    def init(self, stiffness: LinearOperator, mass: LinearOperator) -> Any:
        """Set the preconditioner up for K."""
        return self.preconditioner.init(stiffness)

    def compute(self, state: Any, stiffness: LinearOperator, mass: LinearOperator) -> Solution[Pairs]:
        """Iterate from a fixed pseudo-random block."""
        width = self.k + self.guard
        if 3 * width > stiffness.n:
            raise ValueError(
                f"LOBPCG with k = {self.k} and guard = {self.guard} needs at least {3 * width} unknowns; "
                f"the problem has {stiffness.n}: use ShiftInvert."
            )
        precondition = jax.vmap(lambda r: self.preconditioner.apply(state, r), 1, 1)
        stiff, inert = jax.vmap(stiffness.mv, 1, 1), jax.vmap(mass.mv, 1, 1)
        dtype = jax.eval_shape(stiffness.diagonal).dtype
        block = np.random.default_rng(0).standard_normal((stiffness.n, width))
        x = precondition(inert(jnp.asarray(block, dtype)))

        def products(block):
            return jnp.stack([block, stiff(block), inert(block)])

        def measure(values, triple):
            r = triple[1] - values * triple[2]
            size = jnp.linalg.norm(r, axis=0)
            limit = jnp.maximum(self.rtol * jnp.abs(values) * jnp.linalg.norm(triple[2], axis=0), self.atol)
            return r, size, size <= limit

        def proceed(carry):
            values, triple, _, step, finite = carry
            _, _, good = measure(values, triple)
            return ~jnp.all(good[: self.k]) & (step < self.max_steps) & finite

        def advance(carry):
            values, triple, directions, step, _ = carry
            r, size, _ = measure(values, triple)
            w = precondition(r / jnp.where(size == 0, 1.0, size))
            w = w / jnp.maximum(jnp.linalg.norm(w, axis=0), 1e-300)
            w = w - triple[0] @ (triple[2].T @ w)
            w = w / jnp.maximum(jnp.linalg.norm(w, axis=0), 1e-300)
            basis = jnp.concatenate([triple, products(w), directions], axis=2)
            values, mix = _rayleigh_ritz(basis, width)
            moved = basis[:, :, width:] @ mix[width:]
            new = products(basis[0, :, :width] @ mix[:width] + moved[0])
            # Directions shrink as the vectors converge, so their products are made afresh: differences of old
            # products would be all rounding.
            p = moved[0] / jnp.maximum(jnp.linalg.norm(moved[0], axis=0), 1e-300)
            p = p - new[0] @ (new[2].T @ p)
            p = p / jnp.maximum(jnp.linalg.norm(p, axis=0), 1e-300)
            return values, new, products(p), step + 1, jnp.all(jnp.isfinite(values))

        first = products(x)
        values, mix = _rayleigh_ritz(first, width)
        triple = first @ mix
        zero = jnp.zeros((), jnp.int32)
        start = (values, triple, jnp.zeros_like(triple), zero, jnp.all(jnp.isfinite(values)))
        values, triple, _, steps, finite = jax.lax.while_loop(proceed, advance, start)
        values, mix = _rayleigh_ritz(triple, width)
        triple = products(triple[0] @ mix)
        _, size, good = measure(values, triple)
        code = jnp.where(jnp.all(good[: self.k]), Code.SUCCESS, Code.STAGNATION)
        code = jnp.where((code != Code.SUCCESS) & (steps >= self.max_steps), Code.MAX_STEPS, code)
        code = jnp.where(finite, code, Code.NOT_FINITE).astype(jnp.int32)
        statistics = {"steps": steps, "residual": jnp.max(size[: self.k])}
        return Solution((values[: self.k], triple[0][:, : self.k]), Status(code), statistics)


def _rayleigh_ritz(basis: Array, width: int) -> tuple[Array, Array]:
    """Return the lowest values and their coefficients on a basis (3, n, j) given with its products."""
    vectors, stiff, inert = basis
    gram, projected = vectors.T @ inert, vectors.T @ stiff
    diagonal = jnp.diagonal(gram)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    gram = scale[:, None] * (gram + gram.T) / 2 * scale
    projected = scale[:, None] * (projected + projected.T) / 2 * scale
    weights, modes = jnp.linalg.eigh(gram)
    # A direction that is nearly a combination of others would carry its rounding into the projected problem.
    kept = weights > 1e-8 * jnp.max(weights)
    root = jnp.where(kept, 1 / jnp.sqrt(jnp.where(kept, weights, 1.0)), 0.0)
    frame = modes * root
    small = frame.T @ projected @ frame
    far = 1e3 * (1 + jnp.max(jnp.abs(small)))
    values, mix = jnp.linalg.eigh(small + jnp.diag(jnp.where(kept, 0.0, far)))
    return values[:width], scale[:, None] * (frame @ mix[:, :width])
