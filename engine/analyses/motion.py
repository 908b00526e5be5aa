r"""The semi-discrete problem of structural dynamics, $M\ddot u + C\dot u + r(t, u) = 0$."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.coefficients import drive, inputs_of, undriven
from gemel.engine.lumping import lumped_mass
from gemel.engine.physics import Physics
from gemel.engine.problems import DiscreteProblem
from gemel.engine.signals import Series, at_time
from gemel.solvers import (
    AssembledOperator,
    DiagonalOperator,
    LinearOperator,
    Motion,
    SecondOrderSystem,
    linear_combination,
)


class Structure(eqx.Module):
    """The matrices and loads of a physics in motion: what a `StructuralSystem` takes as ``args``.

    ``mass`` and ``damping`` are whole, before constraints; ``scale`` weighs the rows of dependent unknowns; inputs that
    move supports are differentiated by differences over ``step`` within [``first``, ``last``].
    """

    problem: DiscreteProblem
    mass: LinearOperator
    damping: LinearOperator | None
    reduced_mass: LinearOperator
    reduced_damping: LinearOperator | None
    inputs: Mapping[str, Series]
    scale: Array
    step: Array
    first: Array
    last: Array

    def at(self, t: Any) -> DiscreteProblem:
        """The problem with the inputs of a time."""
        return drive(self.problem, at_time(self.inputs, t))

    @property
    def moving(self) -> bool:
        """Whether inputs move the supports."""
        return bool(inputs_of(self.problem.constraint))

    def support(self, t: Array) -> Motion:
        r"""The prescribed part $g$ of the motion, with $\dot g$ and $\ddot g$ by central differences.

        Near the ends of the run the differences are those nearest to the end that stay inside it, extrapolated by a
        constant acceleration. A support that jumps or kinks gives the impulse that belongs to it over a step or two.
        """
        zero, h = jnp.zeros(self.problem.space.n_dofs), self.step

        def g(s: Array) -> Array:
            return self.at(s).constraint.lift(zero)

        now = g(t)
        if not self.moving:
            return Motion(now, zero, zero)
        centre = jnp.clip(t, self.first + h, jnp.maximum(self.last - h, self.first + h))
        before, middle, after = g(centre - h), g(centre), g(centre + h)
        a = (after - 2 * middle + before) / h**2
        return Motion(now, (after - before) / (2 * h) + (t - centre) * a, a)


class StructuralSystem(SecondOrderSystem):
    """The system of a `Structure`."""

    linear: bool = eqx.field(static=True)

    def mass(self, args: Structure) -> LinearOperator:
        """The mass matrix of the free unknowns."""
        return args.reduced_mass

    def damping(self, args: Structure) -> LinearOperator | None:
        """The damping matrix of the free unknowns."""
        return args.reduced_damping

    def residual(self, t: Array, u: Array, args: Structure) -> Array:
        r"""$r(t, u)$, with $M\ddot g + C\dot g$ for supports that move."""
        residual = args.at(t).residual(u, args.scale)
        if not args.moving:
            return residual
        support = args.support(t)
        force = args.mass.mv(support.a)
        if args.damping is not None:
            force = force + args.damping.mv(support.v)
        return residual + args.problem.constraint.reduce(force)

    def tangent(self, t: Array, u: Array, args: Structure) -> AssembledOperator:
        """The stiffness."""
        return args.at(t).tangent(u, args.scale)

    def prescribe(self, t: Array, motion: Motion, args: Structure) -> Motion:
        """Dependent unknowns follow the free ones and the supports."""
        constraint, support = args.at(t).constraint, args.support(t)
        u = constraint.lift(motion.u)
        return Motion(u, constraint.extend(motion.v) + support.v, constraint.extend(motion.a) + support.a)


def structural_matrices(
    physics: Physics, rayleigh: tuple[Any, Any], reference: Float[Array, " n"], lumped: bool
) -> tuple[LinearOperator, LinearOperator | None, LinearOperator, LinearOperator | None]:
    r"""$M$ and $C = C_0 + \alpha M + \beta K$, whole and of the free unknowns.

    $C_0$ comes from the dampings of the physics, $K$ is the tangent at the ``reference`` displacement. With
    ``lumped`` the mass is diagonal, and so is $C$ where $\beta$ = 0 and there is no $C_0$.
    """
    inertia, alpha, beta = physics.inertia, *rayleigh
    assert inertia is not None
    layout, constraint, zero = inertia.layout, inertia.constraint, jnp.zeros(inertia.space.n_dofs)
    if lumped:
        diagonal = lumped_mass(inertia)
        mass: LinearOperator = DiagonalOperator(diagonal)
        reduced: LinearOperator = DiagonalOperator(jnp.where(constraint.free, diagonal, 0.0))
    else:
        values = inertia.matrix_values(zero)
        mass = layout.operator(values, symmetric=inertia.symmetric)
        reduced = constraint.operator(layout, values, diagonal=0.0, symmetric=inertia.symmetric)
    damping, symmetric = None, physics.problem.symmetric
    if physics.damping is not None:
        damping, symmetric = physics.damping.matrix_values(zero), symmetric and physics.damping.symmetric
    if not is_zero(beta):
        stiffness = beta * undriven(physics.problem).matrix_values(reference)
        damping = stiffness if damping is None else damping + stiffness
    whole = free = None
    if damping is not None:
        whole = layout.operator(damping, symmetric=symmetric)
        free = constraint.operator(layout, damping, diagonal=0.0, symmetric=symmetric)
    if not is_zero(alpha):
        whole, free = _with_mass(alpha, mass, whole), _with_mass(alpha, reduced, free)
    return mass, whole, reduced, free


def is_zero(value: Any) -> bool:
    """True for a known zero; parameters and traced numbers are none."""
    return isinstance(value, int | float) and value == 0


def _with_mass(alpha: Any, mass: LinearOperator, damping: LinearOperator | None) -> LinearOperator:
    if damping is not None:
        return linear_combination(1.0, damping, alpha, mass)
    if isinstance(mass, DiagonalOperator):
        return DiagonalOperator(alpha * mass.values)
    assert isinstance(mass, AssembledOperator)
    return mass.scaled(alpha)


def check_structure(physics: Physics, what: str) -> DiscreteProblem:
    """The inertia of a physics. Raises `ValueError` where an analysis in time or frequency cannot use it."""
    inertia = physics.inertia
    if inertia is None:
        raise ValueError(f"{what} needs a density.")
    for name, part in (("mass", inertia), ("damping", physics.damping)):
        if part is not None and inputs_of(part.contributions):
            raise ValueError(f"The {name} of {what[0].lower() + what[1:]} must not follow an input.")
        if part is not None and not part.linear:
            raise ValueError(f"The {name} of {what[0].lower() + what[1:]} must not depend on the field.")
    return inertia


def mean_diagonal(operator: LinearOperator) -> Array:
    """The mean of the diagonal: the weight of one unknown."""
    return jax.lax.stop_gradient(jnp.mean(operator.diagonal()))
