"""Semi-discrete problems of first and second order in time, on flat vectors."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gemel.solvers.operators import LinearOperator


class System(eqx.Module):
    """What a time integrator needs of a semi-discrete problem of either order.

    M is constant in time and may be singular: rows without mass are algebraic equations (Dirichlet values
    s (u − g(t)) = 0). ``linear`` promises r(t, u) = K u − f(t) with K = ∂r/∂u constant in u and t.
    """

    linear: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def mass(self, args: PyTree) -> LinearOperator:
        """Return M."""

    @abc.abstractmethod
    def residual(self, t: Float[Array, ""], u: Float[Array, " n"], args: PyTree) -> Float[Array, " n"]:
        """Return r(t, u)."""

    @abc.abstractmethod
    def tangent(self, t: Float[Array, ""], u: Float[Array, " n"], args: PyTree) -> LinearOperator:
        """Return ∂r/∂u at (t, u)."""

    def resting(self, args: PyTree) -> Any:
        """Return what `load` needs of r(t, 0) that is the same at all times; found once, before the steps."""
        return None

    def load(self, t: Float[Array, ""], zero: Float[Array, " n"], resting: Any, args: PyTree) -> Float[Array, " n"]:
        """Return r(t, 0) of a linear system; ``resting`` as `resting` has found it."""
        return self.residual(t, zero, args)


class FirstOrderSystem(System):
    """The semi-discrete problem M(args) u̇ + r(t, u, args) = 0 on flat vectors.

    Rows of M whose diagonal is zero count as algebraic equations; they hold at the end of every step.
    """


class StoringSystem(System):
    """The semi-discrete problem d/dt m(u, args) + r(t, u, args) = 0, whose content m need not be linear in u.

    Heat with an enthalpy is one: m is what is stored, and a step conserves it whatever its slope does.
    ``mass`` is the capacity ∂m/∂u at u = 0; its zero rows are the algebraic equations.
    """

    @abc.abstractmethod
    def content(self, u: Float[Array, " n"], args: PyTree) -> Float[Array, " n"]:
        """Return m(u), zero in algebraic rows."""

    @abc.abstractmethod
    def complete(self, t: Float[Array, ""], u: Float[Array, " n"], args: PyTree) -> Float[Array, " n"]:
        """Return u with its prescribed entries set to what they are at t; u itself where nothing is prescribed.

        A stage takes the content of that, so that the rows with content do not see the prescribed unknowns before
        their own rows hold, and the capacity comes without their columns.
        """

    @abc.abstractmethod
    def capacity(self, u: Float[Array, " n"], args: PyTree) -> LinearOperator:
        """Return ∂m/∂u at u."""


class Motion(eqx.Module):
    """The state of a problem of second order: displacement u, velocity v = u̇, acceleration a = ü."""

    u: Float[Array, "*batch n"]
    v: Float[Array, "*batch n"]
    a: Float[Array, "*batch n"]


class SecondOrderSystem(System):
    """The semi-discrete problem M(args) ü + C(args) u̇ + r(t, u, args) = 0 on flat vectors.

    C is constant in time. Unknowns with a prescribed motion g(t) (in general those that an affine map gives
    from the others) have no mass and no damping: M and C come without their rows and columns, and the
    forces of that motion, M g̈ + C ġ on the other rows, belong to r. Those other rows of r may not depend on
    the prescribed entries of u that they are given, and the prescribed rows of r must have a regular
    tangent, for example s (u − g(t)). ``prescribe`` gives these unknowns their motion.
    """

    @abc.abstractmethod
    def damping(self, args: PyTree) -> LinearOperator | None:
        """Return C, or None where there is no damping."""

    @abc.abstractmethod
    def prescribe(self, t: Float[Array, ""], motion: Motion, args: PyTree) -> Motion:
        """Return the motion with its prescribed entries set to what they are at t: displacement, velocity and
        acceleration together; the motion itself where nothing is prescribed.
        """


def lifted_motion(lift: Callable[[Any, Array], Array], t: Float[Array, ""], motion: Motion) -> Motion:
    """Return a motion whose prescribed entries follow ``lift(t, u)``, affine in u and twice differentiable in t.

    The velocity is d/dt lift(t, u(t)) and the acceleration d²/dt² lift(t, u(t)), by forward-mode
    differentiation.
    """
    one = jnp.ones_like(t)

    def velocity(t: Array, u: Array, v: Array) -> Array:
        return jax.jvp(lift, (t, u), (one, v))[1]

    u, v = jax.jvp(lift, (t, motion.u), (one, motion.v))
    a = jax.jvp(velocity, (t, motion.u, motion.v), (one, motion.v, motion.a))[1]
    return Motion(u, v, a)
