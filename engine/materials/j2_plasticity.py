"""Small-strain von Mises plasticity with isotropic and kinematic hardening."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.materials.isotropic import lame_constants
from gemel.engine.materials.material import SmallStrainMaterial
from gemel.engine.materials.ranges import require_not_negative, require_poisson, require_positive
from gemel.engine.materials.tensors import Scalar, Tensor, deviator, norm

_MAX_STEPS = 60


class J2State(eqx.Module):
    r"""History of one point: the plastic strain $\varepsilon^p$ (a deviator) and the accumulated plastic strain $p$."""

    plastic_strain: Tensor
    accumulated: Scalar


class J2Plasticity(SmallStrainMaterial):
    r"""Von Mises plasticity with associated flow, integrated by the radial return (implicit Euler).

    $$ \sigma = \mathbb{C} : (\varepsilon - \varepsilon^p), \qquad
       f = \sqrt{\tfrac32}\,\| s - \beta \| - \sigma_y(p) \le 0 $$
    $$ \sigma_y(p) = \sigma_0 + H p + Q\,(1 - e^{-b p}), \qquad \beta = \tfrac23 C\, \varepsilon^p $$

    with $\dot\varepsilon^p = \sqrt{\tfrac32}\,\dot p\, n$ along the unit tensor $n$ of $s - \beta$. The increment of
    $p$ is the root of one scalar equation, differentiated by the implicit-function rule, so the tangent by
    automatic differentiation is the consistent one. Rate independent: the step's length does not matter.

    Args:
        youngs_modulus: $E > 0$ in Pa.
        poisson_ratio: $-1 < \nu < 0.5$.
        yield_stress: $\sigma_0 > 0$ in Pa.
        hardening_modulus: linear isotropic hardening $H \ge 0$ in Pa.
        saturation_stress: Voce hardening $Q \ge 0$ in Pa.
        saturation_rate: $b \ge 0$.
        kinematic_modulus: Prager's linear kinematic hardening $C \ge 0$ in Pa; the back stress of a bar is $C
            \varepsilon^p$.

    Raises:
        ValueError: for a number out of range.

    Source: Simo, Hughes, *Computational Inelasticity*, 1998, chapters 2 and 3; Voce, J. Inst. Metals 74, 1948.
    """

    youngs_modulus: Any
    poisson_ratio: Any
    yield_stress: Any
    hardening_modulus: Any = 0.0
    saturation_stress: Any = 0.0
    saturation_rate: Any = 0.0
    kinematic_modulus: Any = 0.0

    def __check_init__(self) -> None:
        require_positive("Young's modulus", self.youngs_modulus)
        require_poisson("Poisson's ratio", self.poisson_ratio)
        require_positive("The yield stress", self.yield_stress)
        require_not_negative("The hardening modulus", self.hardening_modulus)
        require_not_negative("The saturation stress", self.saturation_stress)
        require_not_negative("The saturation rate", self.saturation_rate)
        require_not_negative("The kinematic hardening modulus", self.kinematic_modulus)

    @property
    def linear(self) -> bool:
        """Never."""
        return False

    @property
    def symmetric(self) -> bool:
        """Always: the flow is associated."""
        return True

    def initial_state(self) -> J2State:
        """No plastic strain."""
        return J2State(jnp.zeros((3, 3)), jnp.zeros(()))

    def flow_stress(self, accumulated: Any) -> Array:
        r"""$\sigma_y(p)$ in Pa."""
        saturating = -jnp.expm1(-self.saturation_rate * accumulated)
        return self.yield_stress + self.hardening_modulus * accumulated + self.saturation_stress * saturating

    def update(self, strain: Tensor, state: J2State, dt: Any) -> tuple[Tensor, J2State]:
        """The radial return."""
        first, mu = lame_constants(self.youngs_modulus, self.poisson_ratio)
        trial = 2 * mu * (deviator(strain) - state.plastic_strain)
        reduced = trial - 2 / 3 * self.kinematic_modulus * state.plastic_strain
        length = norm(reduced)
        equivalent = jnp.sqrt(1.5) * length
        start = self.flow_stress(state.accumulated)
        yields = equivalent > start
        # An elastic point solves the equation of a point just at yield: no root is sought where none exists.
        increment = self._increment(jnp.where(yields, equivalent, start), state.accumulated, mu)
        increment = jnp.where(yields, increment, 0.0)
        direction = reduced / jnp.where(length > 0, length, 1.0)
        flow = jnp.sqrt(1.5) * increment * direction
        stress = (first + 2 / 3 * mu) * jnp.trace(strain) * jnp.eye(3) + trial - 2 * mu * flow
        return stress, J2State(state.plastic_strain + flow, state.accumulated + increment)

    def _increment(self, equivalent: Array, accumulated: Array, mu: Array) -> Array:
        r"""The root of $g(\Delta) = q - (3\mu + C) \Delta - \sigma_y(p + \Delta)$.

        $g$ decreases and is convex, so Newton's method from zero, left of the root, approaches it monotonically.
        """
        slope = 3 * mu + self.kinematic_modulus

        def g(delta: Array) -> Array:
            return equivalent - slope * delta - self.flow_stress(accumulated + delta)

        return jax.lax.custom_root(g, jnp.zeros_like(equivalent), _newton, lambda line, y: y / line(jnp.ones_like(y)))


def _newton(g: Any, start: Array) -> Array:
    """Newton's method for a scalar equation until the step is lost in rounding; NaN past the limit of steps."""

    def proceed(carry: tuple[Array, Array, Array]) -> Array:
        delta, step, count = carry
        return (jnp.abs(step) > 1e-15 * jnp.abs(delta)) & (count < _MAX_STEPS)

    def advance(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        delta, _, count = carry
        value, slope = jax.jvp(g, (delta,), (jnp.ones_like(delta),))
        # Past the root only rounding is left.
        step = jnp.maximum(-value / slope, 0.0)
        return delta + step, step, count + 1

    first = (start, jnp.full_like(start, jnp.inf), jnp.zeros((), jnp.int32))
    delta, _, count = jax.lax.while_loop(proceed, advance, first)
    return jnp.where(count < _MAX_STEPS, delta, jnp.nan)
