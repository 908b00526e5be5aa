"""Step sizes of every member from the estimated errors of its own steps."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from gemel.solvers.ensembles.rates import Rate, slopes


class PIControl(eqx.Module):
    """Proportional-integral control: after a step of size h with error ‖e‖ ≤ 1 in the weighted mean square norm
    √(mean (eᵢ / (atolᵢ + rtol max(|y₀ᵢ|, |y₁ᵢ|)))²) follows one of

        h · clip(0.9 ‖e‖^(−α/k) ‖e_before‖^(β/k), 0.2, 10),

    k the order of the estimate. A step with a larger error is repeated with h · clip(0.9 ‖e‖^(−1/k), 0.2, 0.9), one
    whose error is not finite with h/5, and the step after a repeated one does not grow.

    Args:
        rtol: relative tolerance.
        atol: absolute tolerance in the unit of y, one number or (n,).
        max_steps: limit of steps tried by each member, those repeated included.
        first: |h| of the first step to try; None for Hairer's estimate from f and its change.
        alpha, beta: the exponents; (1, 0) is the plain integral control.

    Raises:
        ValueError: for tolerances, a limit or a first step that are not positive.

    Gustafsson, *Control-theoretic techniques for stepsize selection*, ACM Trans. Math. Softw. 17 and 20 (1991, 1994);
    Hairer, Nørsett, Wanner, *Solving Ordinary Differential Equations I*, 2nd ed., Springer (1993), II.4.
    """

    rtol: Any
    atol: Any
    max_steps: int = eqx.field(static=True, default=10_000)
    first: Any = None
    alpha: float = eqx.field(static=True, default=0.85)
    beta: float = eqx.field(static=True, default=0.2)

    def __check_init__(self):
        for name in ("rtol", "atol", "first"):
            value = getattr(self, name)
            if isinstance(value, int | float | np.ndarray) and not np.all(np.asarray(value) > 0):
                raise ValueError(f"PIControl {name} = {value}: it must be positive.")
        if self.max_steps < 1:
            raise ValueError(f"PIControl max_steps = {self.max_steps}: at least one step is needed.")

    def scale(self, y: Float[Array, "n L"]) -> Float[Array, "n L"]:
        """Return atol + rtol |y|."""
        return jnp.reshape(jnp.asarray(self.atol, y.dtype), (-1, 1)) + self.rtol * jnp.abs(y)

    def norm(self, error: Array, before: Array, after: Array) -> Float[Array, " L"]:
        """Return ‖e‖ of every member, infinite where it is not a number."""
        scaled = error / self.scale(jnp.maximum(jnp.abs(before), jnp.abs(after)))
        norm = _mean_square_norm(scaled)
        return jnp.where(jnp.isnan(norm), jnp.inf, norm)

    def factor(self, norm: Array, before: Array, repeated: Array, order: int) -> Float[Array, " L"]:
        """Return the ratio of the next step to try to this one.

        In single precision: it chooses a step, which is then taken as it is, and logarithms cost a fifth of that.
        """
        e, last = (jnp.log(jnp.clip(x, 1e-8, 1e8).astype(jnp.float32)) for x in (norm, before))
        accepted = jnp.exp((self.beta * last - self.alpha * e) / order)
        rejected = jnp.exp(-e / order)
        grown = jnp.clip(0.9 * accepted, 0.2, jnp.where(repeated, 1.0, 10.0).astype(jnp.float32))
        return jnp.where(norm <= 1, grown, jnp.clip(0.9 * rejected, 0.2, 0.9)).astype(norm.dtype)

    def first_step(
        self, rate: Rate, t: Array, y: Array, slope: Array, p: PyTree, span: Array, order: int
    ) -> Float[Array, " B"]:
        """Return the first h to try, with the sign of ``span``."""
        length = jnp.abs(span)
        if self.first is not None:
            return jnp.sign(span) * jnp.minimum(jnp.asarray(self.first, y.dtype), length)
        scale = self.scale(y)
        size, speed = _mean_square_norm(y / scale), _mean_square_norm(slope / scale)
        guess = jnp.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / jnp.maximum(speed, 1e-30))
        guess = jnp.minimum(guess, length)
        h = jnp.sign(span) * guess
        change = _mean_square_norm((slopes(rate, t + h, y + h * slope, p) - slope) / scale) / jnp.maximum(guess, 1e-300)
        steepest = jnp.maximum(speed, jnp.where(jnp.isfinite(change), change, jnp.inf))
        far = jnp.where(steepest <= 1e-15, jnp.maximum(1e-6, 1e-3 * guess), (0.01 / steepest) ** (1.0 / order))
        return jnp.sign(span) * jnp.minimum(jnp.minimum(100 * guess, jnp.maximum(far, 1e-3 * guess)), length)


def _mean_square_norm(x: Float[Array, "n L"]) -> Float[Array, " L"]:
    return jnp.sqrt(jnp.sum(x * x, axis=0) / x.shape[0])
