r"""The curvature of a misfit at its minimum, by factors of the rows of its residual.

The posterior about the minimum is normal with the inverse of the curvature $H$ of the misfit as its covariance. Of
losses $\rho(q)$ of residuals $q$ in units of their noise

$$ H = \sum_i \rho''(q_i)\, \nabla q_i \nabla q_i^\top + \dots, $$

without second derivatives of $q$. That of least squares of the shaped residuals, $\tfrac12 \tilde r^2 = \rho$, has
$(\mathrm d\tilde r / \mathrm dq)^2$ for $\rho''$: the same for normal noise only. Beside it Student's t of four degrees
of freedom would be an eighth too sure, and one sample far off would count for more than it tells. So rows are
multiplied by $\sqrt{a \rho''_+} / |\mathrm d\tilde r / \mathrm dq|$, with $\rho''_+$ zero where $\rho''$ is negative,
and $a = \sum_i \rho'' / \sum_i \rho''_+$ over the samples of a sensor for what that leaves out. The rows that stand for
the logarithm of an unknown noise (see `gemel.engine.calibration.likelihood`) are multiplied by a constant, with which
all rows together have the information of the loss's own noise about its scale, $\mathrm E (q \rho' - 1)^2$: 2 a sample
for normal noise, $2\nu/(\nu + 3)$ for Student's t.
Source: Huber, Ronchetti, *Robust Statistics*, 2009, section 6.5; Lange, Little, Taylor, *Robust statistical modeling
using the t distribution*, J. Am. Stat. Assoc. 84, 1989.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from jaxtyping import Float

from gemel.engine.calibration.pseudovalues import Curve, curve_of
from gemel.engine.losses import Loss

Samples = tuple[Sequence[str], Float[np.ndarray, "n s"]]
"""The names of the sensors of a record, and what each of their samples weighs."""

_LEAST = 0.5
"""Of the curvature that is positive this share stays, however many samples are far off."""


def curvature_factors(
    loss: Loss, unknown: Collection[str], records: Iterable[Samples], rows: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"] | None:
    """What to multiply each row of a Jacobian by, for the curvature of the misfit; None for normal noise: by one.

    Args:
        loss: what residuals cost.
        unknown: the sensors whose noise is to be found.
        records: of what the first rows are, one after the other; those that come after them stay.
        rows: the residual.
    """
    curve = curve_of(loss)
    if curve is None:
        return None
    factors, first = np.ones(len(rows)), 0
    for names, shares in records:
        places, end = sensor_rows(names, len(shares), unknown, first)
        for column, (name, samples) in enumerate(places.items()):
            factors[samples] = _relative(rows[samples], shares[:, column], curve)
            if name in unknown:
                factors[samples.stop : samples.stop + 2 * len(shares)] = np.sqrt(curve.scale)
        first = end
    return factors


def sensor_rows(
    names: Sequence[str], count: int, unknown: Collection[str], first: int = 0
) -> tuple[dict[str, slice], int]:
    """Where the rows of the ``count`` samples of each sensor of a record are, whose rows begin at ``first``, and where
    they end. Two more for each sample follow where the noise is ``unknown``.
    """
    places = {}
    for name in names:
        places[name] = slice(first, first + count)
        first += count * (3 if name in unknown else 1)
    return places, first


def _relative(rows: np.ndarray, weights: np.ndarray, curve: Curve) -> np.ndarray:
    """The root of the curvature over that of least squares."""
    size = np.abs(np.divide(rows, np.sqrt(weights), out=np.zeros_like(rows), where=weights > 0))
    bend, slope = (np.interp(size, curve.shaped, table) for table in (curve.bend, curve.slope))
    up = np.maximum(bend, 0.0)
    share = max(float(weights @ bend) / max(float(weights @ up), 1e-300), _LEAST)
    return np.sqrt(share * up) / slope
