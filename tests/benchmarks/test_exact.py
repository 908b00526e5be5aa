"""The exact solutions belong to their sources."""

import numpy as np
import pytest

from benchmarks import exact


def test_the_sources_belong_to_the_solutions():
    """Central differences of the fluxes, away from the boundary."""
    x, h = np.array([0.3, 0.55, 0.7]), 1e-5
    shifts = h * np.eye(3)

    def slope(function):
        return [(function(x + s) - function(x - s)) / (2 * h) for s in shifts]

    def flux(y):
        return exact.conductivity(np, y) * np.array(
            [(exact.scalar(np, y + s) - exact.scalar(np, y - s)) / (2 * h) for s in shifts]
        )

    divergence = sum(slope(flux)[i][i] for i in range(3))
    assert exact.source(np, x) == pytest.approx(-divergence, rel=1e-4)
    force = -sum(slope(lambda y: exact.stress(np, y))[j][:, j] for j in range(3))
    np.testing.assert_allclose(exact.body_force(np, x), force, rtol=1e-6)
    gradient = np.array(slope(lambda y: exact.displacement(np, y))).T
    strain = (gradient + gradient.T) / 2
    first = exact.YOUNGS_MODULUS * exact.POISSON_RATIO / ((1 + exact.POISSON_RATIO) * (1 - 2 * exact.POISSON_RATIO))
    second = exact.YOUNGS_MODULUS / (2 * (1 + exact.POISSON_RATIO))
    expected = first * np.trace(strain) * np.eye(3) + 2 * second * strain
    np.testing.assert_allclose(exact.stress(np, x), expected, rtol=1e-8)
