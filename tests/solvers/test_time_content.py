"""Contents that are not linear in the unknowns: order, algebraic rows, conservation, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from gemel.solvers import (
    BDF2,
    SDIRK2,
    SDIRK4,
    CrankNicolson,
    DenseDirect,
    DenseOperator,
    ImplicitEuler,
    LinearOperator,
    Newton,
    StoringSystem,
    integrate,
)

NEWTON = Newton(DenseDirect(1e-9), 1e-13, 1e-15, 30, None, 1e-13)
METHODS = {ImplicitEuler: 1, CrankNicolson: 2, BDF2: 2, SDIRK2: 2, SDIRK4: 4}
ALL = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)


class Exponential(StoringSystem):
    """u₀ = sin t, and d/dt e^{u₁} + a e^{u₁} − e^{u₁} cos t = 0, so that u₁ = u₁(0) − a t + sin t."""

    linear: bool = False

    def mass(self, args) -> LinearOperator:
        return self.capacity(jnp.zeros(2), args)

    def content(self, u: Array, args) -> Array:
        return jnp.stack([0.0 * u[0], jnp.exp(u[1])])

    def complete(self, t: Array, u: Array, args) -> Array:
        return u

    def capacity(self, u: Array, args) -> LinearOperator:
        return DenseOperator(jax.jacfwd(lambda v: self.content(v, args))(u), False)

    def residual(self, t: Array, u: Array, args) -> Array:
        return jnp.stack([3.0 * (u[0] - jnp.sin(t)), (args - jnp.cos(t)) * jnp.exp(u[1])])

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        return DenseOperator(jax.jacfwd(lambda v: self.residual(t, v, args))(u), False)


def final(method, steps, a=0.7):
    times = jnp.linspace(0.0, 2.0, steps + 1)
    return integrate(Exponential(), jnp.array([0.0, 0.3]), times, a, method(NEWTON)).checked()[-1]


@ALL
@pytest.mark.fast("BDF2", "SDIRK2")
def test_the_order_of_the_method_is_kept(method):
    exact = np.array([np.sin(2.0), 0.3 - 1.4 + np.sin(2.0)])
    coarse, fine = (np.abs(np.asarray(final(method, n)) - exact) for n in (16, 32))
    assert fine[0] < 1e-12  # the algebraic row holds
    assert np.log2(coarse[1] / fine[1]) > METHODS[method] - 0.3


@pytest.mark.parametrize(
    "method", [BDF2, *(pytest.param(m, marks=pytest.mark.slow) for m in (ImplicitEuler, CrankNicolson, SDIRK2, SDIRK4))]
)
def test_the_derivative_goes_through_the_content(method):
    """d u₁ / d a = −t for the exact solution; the discrete derivative passes a Taylor test."""
    value, slope = jax.jvp(lambda a: final(method, 24, a)[1], (0.7,), (1.0,))
    assert float(slope) == pytest.approx(-2.0, abs=0.2)
    rest = [abs(float(final(method, 24, 0.7 + h)[1] - value - h * slope)) for h in (1e-2, 5e-3)]
    assert np.log2(rest[0] / rest[1]) > 1.9
