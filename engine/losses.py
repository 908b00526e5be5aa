r"""How a residual counts: losses $\rho$ of weighted residuals $r$, as parts that swap, and the noise each stands for.

Least squares minimises $\tfrac12\sum \tilde r_i^2$: a loss is written as the shaped residual $\tilde r$ with
$\tfrac12 \tilde r^2 = \rho(r)$ and the sign of $r$, so that Gauss-Newton and Levenberg-Marquardt stay what they are.
The noise $e$, in units of its scale, has the density $e^{-\rho}/\int e^{-\rho}$: what a new sample strays from a normal
prediction is the sum $e + bg$ with $g$ standard normal and $b$ the prediction's spread over the noise's scale. The
half width $q$ of a band holds a share $p(q) = P(|e + bg| \le q)$ of them.
Source: Triggs et al., *Bundle Adjustment - A Modern Synthesis*, 2000, section 4.3; Huber, Ronchetti, *Robust
Statistics*, 2009.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import erf, log_ndtr, ndtr

_ROOT_2 = 2.0**0.5
_MAX_STEPS = 200
_TOLERANCE = 1e-10
_ANGLES = np.linspace(0.0, 0.5 * np.pi, 1025)


class Loss(eqx.Module):
    """What one residual, in units of its noise, costs."""

    @abstractmethod
    def shaped(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""The shaped residual, $\operatorname{sign}(r) \sqrt{2\rho(r)}$."""

    @property
    @abstractmethod
    def std(self) -> float:
        """The standard deviation of the noise in units of its scale; infinite where it has none."""

    @abstractmethod
    def half_width(self, level: float, blur: Float[Array, "..."]) -> Float[Array, "..."]:
        """The half width of the band that holds a share ``level`` of new samples, in units of the noise.

        Args:
            level: above 0 and below 1.
            blur: $b$, the normal spread of the prediction in units of the noise.
        """


class Gaussian(Loss):
    r"""Normal noise, $\rho = \tfrac12 r^2$."""

    def shaped(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        """The residual itself."""
        return r

    @property
    def std(self) -> float:
        """One."""
        return 1.0

    def half_width(self, level: float, blur: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""A quantile of $N(0, 1 + b^2)$."""
        return _quantile(level) * jnp.hypot(blur, 1.0)


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

    @property
    def std(self) -> float:
        """From the moments of its normal middle and its exponential tails."""
        k, height = self.threshold, np.exp(-0.5 * self.threshold**2)
        mass = np.sqrt(2 * np.pi) * (2 * NormalDist().cdf(k) - 1)
        power = mass - 2 * k * height + 2 * height * (k + 2 / k + 2 / k**3)
        return float(np.sqrt(power / (mass + 2 * height / k)))

    def half_width(self, level: float, blur: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""From the density of $e + bg$, known in closed form, by Gauss-Legendre quadrature of $p(q)$."""
        return _by_table(self, level, blur)

    def held(self, q: Float[np.ndarray, " n"], blur: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        r"""$p(q)$ and its derivative; beyond $b = 1000$ those of a normal distribution of its variance."""
        near, middle = np.clip(blur, 1e-9, 1e3), np.minimum(q, self.threshold)
        nodes, weights = np.polynomial.legendre.leggauss(32)
        share = np.zeros_like(q)
        for low, high in ((np.zeros_like(q), middle), (middle, q)):
            places = low[:, None] + 0.5 * np.multiply.outer(high - low, nodes + 1)
            share += (high - low) * (self._density(places, near[:, None]) @ weights)
        far, spread = blur > near, np.hypot(blur, self.std)
        slope = np.where(far, 2 * _normal(q / spread) / spread, 2 * self._density(q, near))
        return np.where(far, erf(q / (_ROOT_2 * spread)), share), slope

    def _density(self, x: Float[np.ndarray, "..."], blur: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """The density of noise and blur at ``x``: the noise's two pieces, each with the normal one, by completing the
        square.
        """
        k, wide = self.threshold, np.hypot(blur, 1.0)
        mass = np.sqrt(2 * np.pi) * (2 * NormalDist().cdf(k) - 1) + 2 * np.exp(-0.5 * k**2) / k
        mean, spread = x / wide**2, blur / wide
        found = np.exp(-0.5 * (x / wide) ** 2) / wide * (ndtr((k - mean) / spread) - ndtr((-k - mean) / spread))
        for side in (x, -x):
            found += np.exp(0.5 * k**2 * (1 + blur**2) - k * side + log_ndtr((side - k) / blur - k * blur))
        return found / mass


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

    @property
    def std(self) -> float:
        r"""$\sqrt{\nu/(\nu - 2)}$, infinite up to $\nu = 2$."""
        return float(np.sqrt(self.dof / (self.dof - 2))) if self.dof > 2 else float("inf")

    def half_width(self, level: float, blur: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""From $p(q) = \mathrm E\,\mathrm{erf}(q / \sqrt{2(b^2 + 1/w)})$ with $w \sim \Gamma(\nu/2, \nu/2)$."""
        return _by_table(self, level, blur)

    def held(self, q: Float[np.ndarray, " n"], blur: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        r"""$p(q)$ and its derivative by the trapezoidal rule in $\log w$, where the integrand is analytic and falls off
        exponentially: the error, with what is cut off, is about $10^{-10}$ for every $\nu$.
        """
        reach = 50.0 / self.dof
        low, high = -reach - min(1.0, np.sqrt(8 * reach)), min(np.sqrt(2 * reach), np.log1p(2 * reach) + 1)
        u = np.linspace(low, high, int((high - low) / min(0.4, np.sqrt(1.6 / self.dof))) + 2)
        weights = np.exp(0.5 * self.dof * (u + 1 - np.exp(u)))
        weights /= weights.sum()
        spreads = np.sqrt(np.add.outer(blur**2, np.exp(-u)))
        ratios = q[:, None] / spreads
        return erf(ratios / _ROOT_2) @ weights, (2 * _normal(ratios) / spreads) @ weights


def _normal(x: np.ndarray) -> np.ndarray:
    """The density of the standard normal distribution."""
    return np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


def density_of(loss: Loss, r: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    r"""The density of the noise that a loss stands for, $e^{-\rho(r)} / \int e^{-\rho}$, in units of its scale."""

    def weight(x: Any) -> np.ndarray:
        return np.exp(-0.5 * np.asarray(loss.shaped(jnp.asarray(x, float))) ** 2)

    # r = sinh(u) brings tails that fall like a power within reach of the trapezoidal rule
    u = np.linspace(-40.0, 40.0, 8001)
    return weight(r) / np.trapezoid(weight(np.sinh(u)) * np.cosh(u), u)


def require_loss(loss: object) -> Loss:
    """The loss itself. Raises `ValueError` for anything else."""
    if not isinstance(loss, Loss):
        raise ValueError(f"A loss is Gaussian(), Huber() or StudentT(), or one of your own, not {loss!r}.")
    return loss


LOSSES: dict[str, type[Loss]] = {"gaussian": Gaussian, "huber": Huber, "student-t": StudentT}
"""The losses by the name that files give them."""


def loss_words(loss: Loss) -> dict[str, Any]:
    """A loss as plain data. Raises `ValueError` for one that is not the library's."""
    for name, kind in LOSSES.items():
        if type(loss) is kind:
            return {"kind": name, "numbers": [float(getattr(loss, field.name)) for field in fields(loss)]}
    raise ValueError(f"A loss of one's own, such as {loss!r}, cannot be written: only {', '.join(LOSSES)} can.")


def loss_from(words: Mapping[str, Any]) -> Loss:
    """The loss that `loss_words` describes."""
    return LOSSES[words["kind"]](*words["numbers"])


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + 0.5 * level)


def _by_table(loss: "Huber | StudentT", level: float, blur: Float[Array, "..."]) -> Float[Array, "..."]:
    """Interpolated in the angle of blur and noise, where the half width over their common length is smooth, to 1e-6."""
    return jnp.interp(jnp.arctan(blur), _ANGLES, _table(loss, level)) * jnp.hypot(blur, 1.0)


@lru_cache(maxsize=64)
def _table(loss: "Huber | StudentT", level: float) -> np.ndarray:
    """The half widths at `_ANGLES` of noise and blur of common length one, by Newton's method from the normal band.

    That is too narrow, and the share held is concave as its density falls: every step stays below the root.
    """
    blur = np.tan(_ANGLES[:-1])
    q = _quantile(level) * np.hypot(blur, 1.0)
    for _ in range(_MAX_STEPS):
        share, slope = loss.held(q, blur)
        change = (level - share) / slope
        q += change
        if np.all(change <= _TOLERANCE * q):
            break
    return np.append(q / np.hypot(blur, 1.0), _quantile(level))
