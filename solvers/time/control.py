"""Step size control by estimated errors."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class ErrorControl(eqx.Module):
    """Steps chosen so that the estimated error e of each satisfies ‖e‖ ≤ 1 in the weighted mean square norm
    √(mean (eᵢ / (atolᵢ + rtol max(|u₀ᵢ|, |u₁ᵢ|)))²).

    An accepted or rejected step of size Δt is followed by one of Δt · clip(0.9 ‖e‖^(−1/p), 0.2, 5), p the
    order of the estimate; a step whose solve failed, by one of Δt/4.

    Args:
        rtol: relative tolerance.
        atol: absolute tolerance in the unit of u, one number or (n,).
        first: the size of the first step to try, in s.
        max_steps: limit of steps tried, those rejected included.

    Raises:
        ValueError: for a limit or a first step that is not positive.

    Hairer, Nørsett, Wanner, *Solving Ordinary Differential Equations I*, 2nd ed., Springer (1993), II.4.
    """

    rtol: Any
    atol: Any
    first: Any
    max_steps: int = eqx.field(static=True)

    def __check_init__(self):
        if self.max_steps < 1:
            raise ValueError(f"ErrorControl max_steps = {self.max_steps}: at least one step is needed.")
        if isinstance(self.first, int | float) and not self.first > 0:
            raise ValueError(f"ErrorControl first = {self.first} s: the first step must be positive.")

    def norm(self, error: Float[Array, " n"], u0: Float[Array, " n"], u1: Float[Array, " n"]) -> Float[Array, ""]:
        """Return ‖e‖, infinite where it is not a number."""
        weight = self.atol + self.rtol * jnp.maximum(jnp.abs(u0), jnp.abs(u1))
        norm = jnp.sqrt(jnp.mean((error / weight) ** 2))
        return jnp.where(jnp.isnan(norm), jnp.inf, norm)

    def next_step(self, dt: Array, norm: Array, order: int) -> Array:
        """Return the size of the step after one of size ``dt`` with this error."""
        factor = 0.9 * jnp.maximum(norm, 1e-10) ** (-1.0 / order)
        return dt * jnp.clip(factor, 0.2, 5.0)
