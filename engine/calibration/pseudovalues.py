r"""Residuals of a loss as rows of least squares.

A loss $\rho$ of residuals $q$ in units of their noise has the score $\psi = \rho'$, of variance
$\kappa = \mathrm E\,\psi^2$ in the noise that it stands for, and where the residuals follow a course $g$ they count as
the pseudo-values $g + \psi(q - g) / a$ of variance $\kappa / a^2$, with $a$ the mean of $\psi'(q - g)$. In units of
their deviations these, and the derivatives of $q$, are rows of least squares. Those of the fit, of which
$\tfrac12 \tilde r^2 = \rho$, have its gradient and no more: by their squares in place of $\kappa$ a drift under
Student's t of four degrees of freedom would be weaker by an eighth, and a large one, whose $\psi$ bends down again,
would pass for slow variation. $g$ is a fit by the same loss of the first cosines, a trend and what else explains
residuals.
Source: Huber, Ronchetti, *Robust Statistics*, 2009, sections 7.3 (pseudo-values) and 7.6.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine.losses import Gaussian, Loss

_FIRST, _STEPS = 4, 10
"""Of how many steps by weights those of absolute values come first, which no start leads astray."""


class Curve(NamedTuple):
    r"""A loss at many places: $q$, the shaped residual and its slope, $\psi$, $\psi'$; and $\kappa$. ``scale`` is what
    the rows of residuals, by the factors of `gemel.engine.calibration.curvature`, leave of $\mathrm E (q \psi - 1)^2$,
    the information about the noise's scale.
    """

    q: Any
    shaped: Any
    slope: Any
    psi: Any
    bend: Any
    power: Any
    scale: Any


def as_pseudo_values(
    rows: np.ndarray, slopes: np.ndarray, weights: np.ndarray, basis: np.ndarray | None, curve: Curve
) -> float:
    """Make rows of a loss and their derivative those of pseudo-values about the course in the basis ``(k, n)`` that the
    residuals follow; the factor by which rows of unit noise are multiplied.
    """
    root = np.sqrt(weights)
    q = unshaped(rows, weights, curve)
    course = np.zeros_like(q) if basis is None else _followed(q, basis, root, curve)
    left = q - course
    psi = np.sign(left) * np.interp(np.abs(left), curve.q, curve.psi)
    bend = float(weights @ np.interp(np.abs(left), curve.q, curve.bend)) / max(float(weights.sum()), 1e-300)
    bend = max(bend, 0.5 * float(curve.power))
    factor = bend / np.sqrt(float(curve.power))
    slopes *= (factor / np.interp(np.abs(q), curve.q, curve.slope))[:, None]
    rows[:] = factor * root * (course + psi / bend)
    return factor


def _followed(q: np.ndarray, basis: np.ndarray, root: np.ndarray, curve: Curve) -> np.ndarray:
    """The course in a basis, whose columns have the roots of the weights in them, that residuals follow by a loss."""
    course = np.zeros_like(q)
    for step in range(_STEPS):
        size = np.maximum(np.abs(q - course), 1e-6)
        pull = 1.0 / np.maximum(size, 1.0) if step < _FIRST else np.interp(size, curve.q, curve.psi) / size
        pulled = basis * pull
        found, *_ = np.linalg.lstsq(pulled @ basis.T, pulled @ (root * q), rcond=1e-13)
        course = np.divide(found @ basis, root, out=np.zeros_like(q), where=root > 0)
    return course


def unshaped(rows: np.ndarray, weights: np.ndarray, curve: Curve | None) -> np.ndarray:
    """Innovations in units of their standard deviations from rows of a loss."""
    shaped = np.divide(rows, np.sqrt(weights), out=np.zeros_like(rows), where=weights > 0)
    return shaped if curve is None else np.sign(shaped) * np.interp(np.abs(shaped), curve.shaped, curve.q)


def curve_of(loss: Loss) -> Curve | None:
    """That of a loss; None for least squares, whose residuals are what they are."""
    if isinstance(loss, Gaussian):
        return None
    with jax.ensure_compile_time_eval():
        return jax.tree.map(np.asarray, _tabulated(loss))


@eqx.filter_jit
def _tabulated(loss: Loss) -> Curve:
    q = jnp.concatenate([jnp.linspace(0.0, 20.0, 4001), jnp.geomspace(20.1, 1e6, 2000)])
    score = jax.grad(lambda one: 0.5 * loss.shaped(one) ** 2)
    shaped, psi = loss.shaped(q), jax.vmap(score)(q)
    bend = jax.vmap(jax.grad(score))(q)
    weight = jnp.exp(-0.5 * shaped**2)

    def mean(values: Array) -> Array:
        return jnp.trapezoid(weight * values, q) / jnp.trapezoid(weight, q)

    power, up = mean(psi**2), jnp.maximum(bend, 0.0)
    scale = jnp.maximum(mean((q * psi - 1.0) ** 2) - mean(q**2 * up) * power / mean(up), 0.0)
    return Curve(q, shaped, jax.vmap(jax.grad(loss.shaped))(q), psi, bend, power, scale)
