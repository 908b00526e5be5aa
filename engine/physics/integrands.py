"""Integrands that several physics share: diffusion, reaction (mass, springs, losses) and loads."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.coefficients import FieldCoefficient, Profile, evaluate, is_constant
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.engine.materials.ranges import require_finite
from gemel.engine.tangents import Loading


class _WithCoefficient(Form):
    """An integrand that is its coefficient times something linear in the field."""

    coefficient: Any

    @property
    def linear(self) -> bool:
        """True unless the coefficient depends on the field."""
        return is_constant(self.coefficient)

    @property
    def symmetric(self) -> bool:
        """True unless the coefficient depends on the field."""
        return is_constant(self.coefficient)

    @property
    def tangent_parameters(self) -> Any:
        """The coefficient."""
        return self.coefficient

    @property
    def homogeneous(self) -> bool:
        """Always."""
        return True


class Diffusion(_WithCoefficient):
    r"""$k \nabla u$ as flux; ``coefficient`` $k$ is a number or a ``(dim, dim)`` tensor."""

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        k = evaluate(self.coefficient, u, point)
        flux = k @ u.grad if jnp.ndim(k) == 2 else k * u.grad
        return Jet(jnp.zeros_like(u.value), flux)

    @property
    def tangent_parts(self) -> tuple[str, ...]:
        """Gradients alone, unless the coefficient depends on the field."""
        return ("gradient",) if self.linear else super().tangent_parts


class Reaction(_WithCoefficient):
    """``coefficient`` times the field as source: the mass matrix, or a linear loss."""

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        return Jet(evaluate(self.coefficient, u, point) * u.value, jnp.zeros_like(u.grad))

    @property
    def tangent_parts(self) -> tuple[str, ...]:
        """Values alone."""
        return ("value",)


def require_load(value: Any) -> None:
    """Raise `ValueError` for what cannot be a load: nothing, numbers by region, numbers that are not finite."""
    if value is None or isinstance(value, Mapping):
        given = "nothing" if value is None else "a mapping: give each region a load of its own"
        allowed = "a number, an array of numbers, a Parameter, an Input, a Profile or a Law"
        raise ValueError(f"A load must be {allowed}, not {given}.")
    require_finite("A load", value)


def require_entries(load: Array, u: Jet) -> Array:
    """The load. Raises `ValueError` where it has not one entry for each of the field."""
    if load.shape != u.value.shape:
        wanted = f"{u.value.size} entries" if u.value.shape else "one number"
        found = f"an array of shape {load.shape}" if load.shape else "one number"
        raise ValueError(f"A load on this field needs {wanted}, not {found}.")
    return load


class Load(Loading, Form):
    """Minus ``density`` as source: what is put into the field per volume or area. ``shape``, a number by place, says
    how a total is spread, up to a factor; evenly where it is None.
    """

    density: Any
    shape: Any = None

    def __check_init__(self) -> None:
        require_load(self.density)
        if not isinstance(self.shape, Profile | FieldCoefficient | None):
            raise ValueError(
                "The shape of a load must be a Profile or a FieldCoefficient, a number by place alone, not "
                f"{type(self.shape).__name__}."
            )

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point. Raises `ValueError` for a density that has not one entry for each of the field."""
        load = require_entries(evaluate(self.density, u, point), u)
        return Jet(-(load if self.shape is None else load * self.share(u, point)), jnp.zeros_like(u.grad))

    def share(self, u: Any, point: Point) -> Array:
        """The shape at one point. Raises `ValueError` for one that is not one number."""
        share = evaluate(self.shape, u, point)
        if share.shape:
            raise ValueError(f"The shape of a load must be one number at each place, not an array of {share.shape}.")
        return share

    @property
    def uneven(self) -> bool:
        """Whether a total has a shape."""
        return self.shape is not None

    @property
    def linear(self) -> bool:
        """True unless the density depends on the field."""
        return is_constant(self.density)

    @property
    def symmetric(self) -> bool:
        """True unless the density depends on the field."""
        return is_constant(self.density)


class Storage(Form):
    """A density that depends on the field as source: an enthalpy, whose rate is what a body takes up."""

    density: Any

    def dual(self, u: Jet, point: Point) -> Jet:
        """The pair at one point."""
        return Jet(evaluate(self.density, u, point), jnp.zeros_like(u.grad))

    @property
    def linear(self) -> bool:
        """Never."""
        return False

    @property
    def symmetric(self) -> bool:
        """Always: a scalar source without gradients."""
        return True

    @property
    def tangent_parameters(self) -> Any:
        """The density."""
        return self.density
