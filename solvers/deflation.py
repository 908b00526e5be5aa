"""Deflation: a few vectors that slow a Krylov method down are solved for directly, system after system."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator


class Deflated(eqx.Module):
    """The state of `Deflation`: that of the preconditioner, W, A W, and (Wᵀ A W)⁻¹."""

    inner: Any
    w: Float[Array, "n m"]
    aw: Float[Array, "n m"]
    inverse: Float[Array, "m m"]


class Deflation(Preconditioner):
    r"""Another preconditioner $M$ with a subspace $W$ taken out, kept through a sequence of similar systems.

    $$ z = P^\top M^{-1} P\, r + Q r, \qquad Q = W (W^\top A W)^{-1} W^\top, \quad P = I - A Q $$

    is symmetric positive definite where $A$ and $M$ are, and leaves of $M^{-1}A$ only the spectrum beside $W$: worth
    it where a few small eigenvalues stand apart, as with inclusions of another conductivity or bodies on soft springs.
    ``init`` finds $W$ by a Lanczos process: the ``size`` lowest Ritz vectors of $M^{-1} A$ after ``steps`` products.
    ``update`` keeps $W$ and forms $A W$ for the new values, ``size`` products: for load steps, time steps or the steps
    of a calibration. `given` takes a subspace of one's own, such as earlier solutions. All of it runs inside jit where
    $M$ does. For `CG`, and `MINRES` on a definite operator.

    Raises `ValueError` where ``steps`` is less than ``size``.

    Saad, Yeung, Erhel, Guyomarc'h, *A deflated version of the conjugate gradient algorithm*, SIAM J. Sci. Comput. 21
    (2000); this form ("balancing"): Tang, Nabben, Vuik, Erlangga, J. Sci. Comput. 39 (2009).
    """

    preconditioner: Preconditioner
    size: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if not 0 < self.size <= self.steps:
            raise ValueError(f"Deflation of {self.size} vectors from {self.steps} steps: 0 < size <= steps is needed.")

    def init(self, operator: LinearOperator) -> Deflated:
        """Set the preconditioner up and look for the subspace."""
        inner = self.preconditioner.init(operator)
        return _deflated(inner, operator, self._ritz_vectors(inner, operator))

    def given(self, operator: LinearOperator, w: Float[Array, "n m"]) -> Deflated:
        """Set the preconditioner up with the span of the columns of ``w``; they may depend on one another."""
        return _deflated(self.preconditioner.init(operator), operator, w)

    def update(self, state: Deflated, operator: LinearOperator) -> Deflated:
        """Keep W, for the new values."""
        return _deflated(self.preconditioner.update(state.inner, operator), operator, state.w)

    def apply(self, state: Deflated, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return z."""
        first = state.inverse @ (state.w.T @ r)
        z = self.preconditioner.apply(state.inner, r - state.aw @ first)
        return z + state.w @ (first - state.inverse @ (state.aw.T @ z))

    def _ritz_vectors(self, inner: Any, operator: LinearOperator) -> Float[Array, "n m"]:
        """The lowest Ritz vectors of M⁻¹A, by Lanczos from a fixed vector with full orthogonalisation."""
        n, steps = operator.n, min(self.steps, operator.n)
        dtype = jax.eval_shape(operator.diagonal).dtype
        start = operator.mv(jax.random.normal(jax.random.PRNGKey(0), (n,), dtype))

        def step(carry: tuple[Array, Array, Array], j: Array) -> tuple[tuple[Array, Array, Array], None]:
            v, basis, dual = carry  # dual holds M times the vectors of the basis
            for _ in range(2):
                v = v - (basis @ v) @ dual
            z = self.preconditioner.apply(inner, v)
            square = jnp.vdot(v, z)
            # A space that is exhausted gives rows of zeros.
            scale = jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
            basis, dual = basis.at[j].set(scale * z), dual.at[j].set(scale * v)
            return (operator.mv(scale * z), basis, dual), None

        zero = jnp.zeros((steps, n), dtype)
        (_, basis, _), _ = jax.lax.scan(step, (start, zero, zero), jnp.arange(steps))
        projected = basis @ jax.vmap(operator.mv)(basis).T
        filled = jnp.diag(jnp.where(jnp.diagonal(projected) > 0, 0.0, 1e3 * jnp.max(jnp.abs(projected))))
        _, mix = jnp.linalg.eigh(0.5 * (projected + projected.T) + filled)
        return (mix[:, : self.size].T @ basis).T


def _deflated(inner: Any, operator: LinearOperator, w: Float[Array, "n m"]) -> Deflated:
    w = w / jnp.maximum(jnp.linalg.norm(w, axis=0), jnp.finfo(w.dtype).tiny)
    aw = jax.vmap(operator.mv, 1, 1)(w)
    energy = w.T @ aw
    diagonal = jnp.diagonal(energy)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    inverse = jnp.linalg.pinv(scale[:, None] * 0.5 * (energy + energy.T) * scale, rtol=1e-10, hermitian=True)
    return Deflated(inner, w, aw, scale[:, None] * inverse * scale)
