"""The exact solutions belong to their sources, and every case converges to its own."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import exact, runner
from benchmarks.cases import CASES
from benchmarks.ours import neo_hookean


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


@pytest.mark.slow
def test_the_stress_of_the_rubber_block_starts_as_that_of_the_linear_one(monkeypatch):
    """P for a displacement a thousandfold smaller, against Hooke's law; and the force against differences of P."""
    x = np.array([0.3, 0.55, 0.7])
    h = 1e-5
    slopes = [
        (neo_hookean.piola(jnp.asarray(x + h * e)) - neo_hookean.piola(jnp.asarray(x - h * e))) / (2 * h)
        for e in np.eye(3)
    ]
    divergence = sum(np.asarray(slopes[j])[:, j] for j in range(3))
    np.testing.assert_allclose(neo_hookean.force(jnp.asarray(x)), -divergence, rtol=1e-6)
    monkeypatch.setattr(exact, "STRETCH", 1e-6)
    small = np.asarray(neo_hookean.piola(jnp.asarray(x))) / 1e-6
    np.testing.assert_allclose(small, exact.stress(np, x), rtol=1e-4)


EXACT = [name for name, case in CASES.items() if case.module not in ("ensembles", "robustness", "calibration")]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_a_case_converges(name):
    """The errors of two sizes fall by 2.8 where theory has 4, and by 5 where it has 8."""
    sizes = (2, 4) if CASES[name].element in ("P2", "Q2") else (4, 8)
    rows = [runner.measure(runner.Job(CASES[name], n, "gemel", "cpu"), 1, 600.0) for n in sizes]
    assert not any("failed" in row for row in rows), rows
    least = 5.0 if CASES[name].element in ("P2", "Q2") else 2.8
    assert rows[0]["error"] / rows[1]["error"] > least
    assert all(row["gradient_error"] < 1e-4 for row in rows if "gradient_error" in row)
