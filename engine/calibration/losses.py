r"""How a residual counts: losses $\rho$ of weighted residuals $r$, as parts that swap.

Least squares minimises $\tfrac12\sum \tilde r_i^2$: a loss is written as the shaped residual $\tilde r$ with
$\tfrac12 \tilde r^2 = \rho(r)$ and the sign of $r$, so that Gauss-Newton and Levenberg-Marquardt stay what they are.
Source: Triggs et al., *Bundle Adjustment - A Modern Synthesis*, 2000, section 4.3; Huber, Ronchetti, *Robust
Statistics*, 2009.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Loss(eqx.Module):
    """What one residual, in units of its noise, costs."""

    @abstractmethod
    def shaped(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""The shaped residual, $\operatorname{sign}(r) \sqrt{2\rho(r)}$."""


class Gaussian(Loss):
    r"""Normal noise, $\rho = \tfrac12 r^2$."""

    def shaped(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        """The residual itself."""
        return r


class Huber(Loss):
    r"""Normal noise in the middle, $\rho = k|r| - \tfrac12 k^2$ beyond $|r| = k$: one bad sample pulls with a bounded
    force.

    Args:
        threshold: $k > 0$ in units of the noise; 1.345 loses 5 % of efficiency where the noise is normal.

    Raises:
        ValueError: for a threshold that is not positive.
    """

    threshold: float = 1.345

    def __check_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"The threshold of a Huber loss must be positive, not {self.threshold}.")

    def shaped(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        """The shaped residual."""
        far = jnp.abs(r) > self.threshold
        size = jnp.where(far, jnp.abs(r), self.threshold)  # keeps the root's derivative finite where it is not taken
        return jnp.where(far, jnp.sign(r) * jnp.sqrt(2 * self.threshold * size - self.threshold**2), r)


class StudentT(Loss):
    r"""Noise with heavy tails, $\rho = \tfrac{\nu + 1}{2} \log(1 + r^2/\nu)$: a sample far off hardly pulls at all.

    Args:
        dof: the degrees of freedom $\nu > 0$; the noise is then the scale, not the standard deviation.

    Raises:
        ValueError: for degrees of freedom that are not positive.
    """

    dof: float = 4.0

    def __check_init__(self) -> None:
        if not self.dof > 0:
            raise ValueError(f"The degrees of freedom of a Student-t loss must be positive, not {self.dof}.")

    def shaped(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        """The shaped residual."""
        q = r**2 / self.dof
        small = q < 1e-6
        safe = jnp.where(small, 1.0, q)
        return r * jnp.sqrt((1 + 1 / self.dof) * jnp.where(small, 1 - q / 2, jnp.log1p(safe) / safe))
