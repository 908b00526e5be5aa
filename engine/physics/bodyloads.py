"""Loads that follow from mass: weight and rotation."""

from typing import Any

import jax.numpy as jnp

from gemel.engine.coefficients import evaluate, is_constant
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.engine.physics.integrands import require_entries
from gemel.engine.problems import Term
from gemel.engine.tangents import Loading


class WeightLoad(Loading, Form):
    r"""$-\rho\, g$ as source."""

    density: Any
    acceleration: Any

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        force = evaluate(self.density, u, point) * evaluate(self.acceleration, u, point)
        return Jet(-require_entries(force, u), jnp.zeros_like(u.grad))

    @property
    def linear(self) -> bool:
        """True unless a number depends on the field."""
        return is_constant((self.density, self.acceleration))

    @property
    def symmetric(self) -> bool:
        """True unless a number depends on the field."""
        return self.linear


class RotationLoad(Form):
    r"""$\rho\, \omega \times (\omega \times x)$ as source, $x$ from the axis to the point where it is now."""

    density: Any
    speed: Any
    axis: Any
    centre: Any

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        dim = len(point.x)
        axis = jnp.asarray(self.axis, float)
        axis = axis / jnp.linalg.norm(axis)
        arm = jnp.zeros(3).at[:dim].set(point.x + u.value - jnp.asarray(self.centre, float)[:dim])
        radial = arm - jnp.dot(arm, axis) * axis
        force = evaluate(self.density, u, point) * evaluate(self.speed, u, point) ** 2 * radial
        return Jet(-force[:dim], jnp.zeros_like(u.grad))

    @property
    def linear(self) -> bool:
        """True unless a number depends on the field."""
        return is_constant((self.density, self.speed))

    @property
    def symmetric(self) -> bool:
        """True unless a number depends on the field."""
        return self.linear

    @property
    def tangent_parameters(self) -> Any:
        """Density and speed: the force grows with the displacement."""
        return (self.density, self.speed)


def Gravity(density: Any, acceleration: Any, on: str = "all") -> Term:
    """Weight: ``density`` in kg/m³ (a number or coefficient), ``acceleration`` a vector ``(dim,)`` in m/s²."""
    return Term(WeightLoad(density, acceleration), on)


def Centrifugal(
    density: Any, speed: Any, axis: Any = (0.0, 0.0, 1.0), centre: Any = (0.0, 0.0, 0.0), on: str = "all"
) -> Term:
    """The load of a steady rotation, at the deformed place (so that it also softens radially).

    Args:
        density: in kg/m³, a number or coefficient.
        speed: of rotation, in rad/s.
        axis: its direction ``(3,)``; (0, 1, 0) in axial symmetry, where the second coordinate is the axis.
        centre: a point ``(3,)`` on the axis, in m.
        on: a tag of cells.
    """
    return Term(RotationLoad(density, speed, axis, centre), on)
