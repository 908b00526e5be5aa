"""Pointwise integrands: what a physics is, at one quadrature point."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from gemel.engine.coefficients import is_constant
from gemel.engine.fields import Point
from gemel.engine.tangents import Differentiable


class Form(Differentiable):
    r"""An integrand that is linear in the test function $v$.

    $$ R(u; v) = \int s(u, \nabla u, x)\cdot v + F(u, \nabla u, x) : \nabla v \; dx $$

    A form returns the pair $(s, F)$ at one point; its tangent comes from automatic differentiation, and
    nobody writes element loops or Jacobians to add physics.
    """

    @property
    def tangent_parts(self) -> tuple[str, ...]:
        r"""What the tangent acts between: ``"value"`` for $s$ and $u$, ``"gradient"`` for $F$ and $\nabla u$.

        A form that says so may leave out a part that is zero on one side and not seen on the other: assembly then costs
        a fraction.
        """
        return ("value", "gradient")

    @abstractmethod
    def dual(self, u: Any, point: Point) -> Any:
        """The source (``value``) and the flux (``grad``) at one quadrature point.

        ``u`` is a `Jet` and so is the result; for several fields of a mixed space both are dictionaries of them.
        """

    def share(self, u: Any, point: Point) -> Any:
        """What of a total goes to one quadrature point, up to a factor, where it is not spread evenly."""
        return 1.0

    @property
    def uneven(self) -> bool:
        """Whether a total is not spread evenly."""
        return False


class WeakForm(Form):
    """A form written as mathematics, ``integrand(u, v, point, *parameters)``, linear in the test function ``v``.

    For example diffusion: ``lambda u, v, point, k: k * inner(grad(u), grad(v))``, with ``affine`` and
    ``symmetric`` set because it is. On several fields of a mixed space ``u`` and ``v`` are dictionaries of jets.
    """

    integrand: Callable[..., Any] = eqx.field(static=True)
    parameters: tuple[Any, ...] = ()
    affine: bool = eqx.field(static=True, default=False)
    symmetric: bool = eqx.field(static=True, default=False)  # pyright: ignore[reportIncompatibleMethodOverride]

    def dual(self, u: Any, point: Point) -> Any:
        """Differentiate the integrand by the test function."""
        zero = jax.tree.map(jnp.zeros_like, u)
        return jax.grad(lambda v: self.integrand(u, v, point, *self.parameters))(zero)

    @property
    def linear(self) -> bool:
        """As declared by ``affine``."""
        return self.affine

    @property
    def tangent_parameters(self) -> Any:
        """All parameters."""
        return self.parameters


class Energy(Form):
    r"""A form given by its energy density $\psi$: ``density(u, point, *parameters)``; $s = \partial\psi/\partial u$ and
    $F = \partial\psi/\partial\nabla u$. Its tangent is symmetric.
    """

    density: Callable[..., Any] = eqx.field(static=True)
    parameters: tuple[Any, ...] = ()
    quadratic: bool = eqx.field(static=True, default=False)

    def dual(self, u: Any, point: Point) -> Any:
        """Differentiate the energy density by the field and its gradient."""
        return jax.grad(lambda w: self.density(w, point, *self.parameters))(u)

    @property
    def linear(self) -> bool:
        """As declared by ``quadratic``."""
        return self.quadratic and is_constant(self.parameters)

    @property
    def symmetric(self) -> bool:
        """Always: a second derivative."""
        return True

    @property
    def tangent_parameters(self) -> Any:
        """All parameters."""
        return self.parameters
