"""The semi-discrete problem of a body whose content is not linear in the field: heat with an enthalpy."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.coefficients import drive
from gemel.engine.problems import DiscreteProblem
from gemel.engine.signals import at_time
from gemel.solvers import AssembledOperator, StoringSystem


class ContentSystem(StoringSystem):
    r"""$\frac{d}{dt} m(u) + r(t, u) = 0$; ``args`` are the spatial problem, the problem whose residual is $m$, the
    inputs, and the weight of the rows of prescribed unknowns.
    """

    linear: bool = False

    def mass(self, args: Any) -> AssembledOperator:
        """The capacity at a field of zeros."""
        _, inertia, _, _ = args
        return self.capacity(jnp.zeros(inertia.space.n_dofs), args)

    def content(self, u: Array, args: Any) -> Array:
        """$m(u)$, without the rows of prescribed unknowns."""
        _, inertia, _, _ = args
        return inertia.constraint.reduce(inertia.unconstrained(u))

    def complete(self, t: Array, u: Array, args: Any) -> Array:
        """The field with its prescribed values at ``t``."""
        return self._problem(t, args).constraint.lift(u)

    def capacity(self, u: Array, args: Any) -> AssembledOperator:
        """The tangent of the content, without the rows and columns of prescribed unknowns."""
        _, inertia, _, _ = args
        values = inertia.matrix_values(u, inertia.symmetric)
        return inertia.constraint.operator(inertia.layout, values, diagonal=0.0, symmetric=inertia.symmetric)

    def residual(self, t: Array, u: Array, args: Any) -> Array:
        """$r(t, u)$."""
        return self._problem(t, args).residual(u, args[3])

    def tangent(self, t: Array, u: Array, args: Any) -> AssembledOperator:
        """The tangent of the spatial problem."""
        return self._problem(t, args).tangent(u, args[3])

    def _problem(self, t: Array, args: Any) -> DiscreteProblem:
        problem, _, inputs, _ = args
        return drive(problem, at_time(inputs, t))
