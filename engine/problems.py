"""Discrete problems: a space, contributions to its residual, and constraints."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.assembly import ElementSum, LatticeLayout, MatrixLayout, MatrixPlan, RowLayout, lattice_of
from gemel.engine.chunks import Chunks
from gemel.engine.coefficients import ByTag, FieldCoefficient, QuadratureField, inputs_of
from gemel.engine.compiling import one_program
from gemel.engine.constraints import Condition, Constraint, Tie
from gemel.engine.domains import Domain
from gemel.engine.fields import Point
from gemel.engine.forms import Form
from gemel.engine.parameters import parameters_of
from gemel.engine.spaces import FunctionSpace, Space
from gemel.engine.tabulation import domains
from gemel.engine.tangents import Differentiable
from gemel.solvers.sparse import AssembledOperator


class Contribution(Differentiable):
    """What is added to the residual of a problem: integrals of forms, structural elements.

    It gives the arrays of its elements; the problem assembles them. An element's local unknowns are those
    named by `dofs`.
    """

    @abc.abstractmethod
    def dofs(self) -> list[np.ndarray]:
        """For each group of elements their unknowns in the flat vector, ``(n_elements, n_local)``; on the host."""

    @abc.abstractmethod
    def residuals(self, u: Float[Array, " n"], points: Array) -> list[Float[Array, "_ _"]]:
        """For each group its residuals ``(n_elements, n_local)`` at the flat vector of unknowns."""

    @abc.abstractmethod
    def tangents(self, u: Float[Array, " n"], points: Array) -> list[Chunks]:
        """For each group its tangents ``(n_local, n_local, n_elements)``: the axis of elements is the last."""


class Summand(eqx.Module):
    """What a problem is told to add up, before it is planned on a space."""

    @abc.abstractmethod
    def plan(self, space: Space) -> Contribution:
        """Find the elements that it acts on; on the host. Raises `ValueError` where there are none."""


class Term(Summand):
    """Where a form acts.

    Args:
        form: the integrand.
        on: a tag of cells (``"all"``) or facets.
        facets: which of both.
        total: the form's numbers are totals over all of ``on`` (a power in W, a mass in kg) and are divided by
            its measure, or where the form is `uneven` by the integral of its shares.
        degree: polynomial degree that the quadrature integrates exactly; chosen from the element when None.
        fields: on a mixed space, the one field that the form sees as a plain `Jet`, or several in a dictionary;
            None is every function space.
    """

    form: Form
    on: str = eqx.field(static=True, default="all")
    facets: bool = eqx.field(static=True, default=False)
    total: bool = eqx.field(static=True, default=False)
    degree: int | None = eqx.field(static=True, default=None)
    fields: str | tuple[str, ...] | None = eqx.field(static=True, default=None)

    def plan(self, space: Space) -> "Integral":
        """The integral over the elements of ``on``. Raises `ValueError` where its domain is unknown or empty."""
        degree = self.degree
        if degree is None and not self.form.linear:
            degree = 2 * space.degree + 3  # the integrand is no product of two basis functions
        found = jax.tree.leaves(self.form, is_leaf=_is_field)
        spaces = tuple(leaf.space for leaf in found if _is_field(leaf))
        places = domains(space, self.on, self.facets, degree, self.fields, spaces)
        cells = np.concatenate([np.asarray(place.cells) for place in places])
        form = jax.tree.map(
            lambda leaf: leaf.within(cells) if isinstance(leaf, ByTag) else leaf,
            self.form,
            is_leaf=lambda leaf: isinstance(leaf, ByTag),
        )
        return Integral(form, places, self.total)


def _is_field(leaf: Any) -> bool:
    return isinstance(leaf, FieldCoefficient)


def _share(form: Form, u: Any, point: Point) -> Array:
    return form.share(u, point)


class Integral(Contribution):
    """A form on the elements of a tag.

    With ``total`` the form's numbers are totals and are divided by the measure of the domain, or the integral of the
    form's shares.
    """

    form: Form
    domains: tuple[Domain, ...]
    total: bool = eqx.field(static=True, default=False)

    def dofs(self) -> list[np.ndarray]:
        """The unknowns of the elements, field by field, node by node."""
        fields = ([table.dofs() for table in domain.tables] for domain in self.domains)
        return [tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1) for tables in fields]

    def scale(self, u: Float[Array, " n"], points: Array) -> Array | float:
        """One, or the inverse of the domain's measure, or of the integral of the form's shares."""
        if not self.total:
            return 1.0
        if not self.form.uneven:
            return 1.0 / sum(domain.measure(points) for domain in self.domains)
        parts = (part.integrate_with(_share, self.form, u, points, k) for k, part in enumerate(self.domains))
        return 1.0 / sum(parts)

    def residuals(self, u: Float[Array, " n"], points: Array) -> list[Array]:
        """The element residuals of the form."""
        scale = self.scale(u, points)
        return [scale * part.residuals(self.form, u, points, k) for k, part in enumerate(self.domains)]

    @staticmethod
    def residuals_together(parts: "Sequence[Integral]", u: Float[Array, " n"], points: Array) -> list[Array]:
        """The sums of the element residuals of forms on domains that are alike: points are mapped once for all."""
        scales = [part.scale(u, points) for part in parts]
        found = []
        for k, domain in enumerate(parts[0].domains):
            forms = [(part.domains[k], part.form, scale) for part, scale in zip(parts, scales, strict=True)]
            found.append(domain.residuals_together(forms, u, points, k))
        return found

    def alike(self, other: Contribution) -> bool:
        """Whether another contribution is a form on the same elements and points."""
        if not isinstance(other, Integral) or len(self.domains) != len(other.domains):
            return False
        return all(mine.alike(others) for mine, others in zip(self.domains, other.domains, strict=True))

    def tangents(self, u: Float[Array, " n"], points: Array) -> list[Chunks]:
        """The element tangents of the form."""
        scale = self.scale(u, points)
        return [part.tangents_of(self.form, scale, u, points, k) for k, part in enumerate(self.domains)]

    def evaluate(self, function: Callable[[Any, Any, Point], Any], u: Float[Array, " n"], points: Array) -> Any:
        """``function(form, u, point)`` at every quadrature point, as a `QuadratureField`."""
        parts = [part.evaluate(function, self.form, u, points, k) for k, part in enumerate(self.domains)]
        return QuadratureField(tuple(parts))

    @property
    def linear(self) -> bool:
        """As the form says."""
        return self.form.linear

    @property
    def symmetric(self) -> bool:
        """As the form says."""
        return self.form.symmetric

    @property
    def tangent_parameters(self) -> Any:
        """As the form says."""
        return self.form.tangent_parameters

    @property
    def has_tangent(self) -> bool:
        """As the form says."""
        return self.form.has_tangent

    @property
    def homogeneous(self) -> bool:
        """As the form says."""
        return self.form.homogeneous


class DiscreteProblem(eqx.Module):
    r"""Find $u$ with $R(u; v) = 0$ for all $v$, $R$ a sum of contributions, $u = g$ on constrained parts.

    Unknowns are flat vectors ``(n_dofs,)``: field by field, node by node. The residual at a prescribed unknown is
    $u - g$; the tangent has the identity there and keeps its symmetry.
    """

    space: Space
    layout: MatrixLayout
    contributions: tuple[Contribution, ...]
    to_vector: tuple[ElementSum, ...]
    to_matrix: MatrixPlan
    constraint: Constraint
    beside: tuple[int, ...] = eqx.field(static=True)
    """For each contribution the number of the first one on the same elements and points."""

    @staticmethod
    def of(space: Space, summands: Sequence[Summand], conditions: Sequence[Condition] = ()) -> "DiscreteProblem":
        """Plan one problem on the host."""
        return discretise(space, conditions, summands)[0]

    @property
    def linear(self) -> bool:
        """True where every contribution is affine in the unknowns."""
        return all(part.linear for part in self.contributions)

    @property
    def steady_tangent(self) -> bool:
        """True where no input enters the tangent, so that it is the same at all times."""
        return not any(inputs_of(part.tangent_parameters) for part in self.contributions)

    @property
    def symmetric(self) -> bool:
        """True where the tangent is symmetric."""
        return all(part.symmetric for part in self.contributions)

    @property
    def resting(self) -> tuple[bool, ...]:
        """For each contribution, whether no input enters it, so that it is the same at all times."""
        return tuple(not inputs_of(part) for part in self.contributions)

    @one_program
    def unconstrained(self, u: Float[Array, " n"], chosen: tuple[bool, ...] | None = None) -> Float[Array, " n"]:
        """The assembled residual before constraints, of all contributions or the ``chosen`` ones: at a solution, minus
        the reactions.
        """
        points = jnp.asarray(self.space.mesh.points)
        total = jnp.zeros_like(u)
        numbers = [k for k in range(len(self.contributions)) if chosen is None or chosen[k]]
        for first in dict.fromkeys(self.beside[k] for k in numbers):
            parts: list[Any] = [self.contributions[k] for k in numbers if self.beside[k] == first]
            local = parts[0].residuals(u, points) if len(parts) == 1 else Integral.residuals_together(parts, u, points)
            total = total + self.to_vector[first](local)
        return total

    def residual(
        self, u: Float[Array, " n"], scale: Any = 1.0, chosen: tuple[bool, ...] | None = None
    ) -> Float[Array, " n"]:
        """The residual whose root is the solution, ``(n_dofs,)``; ``scale`` weighs the rows of prescribed unknowns, and
        ``chosen`` says which contributions count.
        """
        lifted = self.constraint.lift(u)
        return self.constraint.reduce(self.unconstrained(lifted, chosen)) + scale * (u - lifted)

    @one_program
    def matrix_values(self, u: Float[Array, " n"], symmetric: bool = False) -> Float[Array, "..."]:
        """The values of the tangent before constraints, as the `layout` stores them; with ``symmetric`` only what it
        needs for a symmetric operator.
        """
        points = jnp.asarray(self.space.mesh.points)
        tangents = [part.tangents(u, points) if part.has_tangent else None for part in self.contributions]
        return self.to_matrix(tangents, symmetric)

    def tangent(self, u: Float[Array, " n"], scale: Any = 1.0) -> AssembledOperator:
        """The tangent operator, with ``scale`` times the identity at prescribed unknowns."""
        values = self.matrix_values(self.constraint.lift(u), self.symmetric)
        return self.constraint.operator(self.layout, values, scale, symmetric=self.symmetric)

    def linearised(self, u: Float[Array, " n"], scale: Any = 1.0) -> tuple[AssembledOperator, Float[Array, " n"]]:
        r"""The tangent and the residual of a linear problem, $R(u) = R(0) + K u$: elements are visited for the matrix
        and for what pushes at zero, which loads do and homogeneous parts do not.
        """
        lifted = self.constraint.lift(u)
        values = self.matrix_values(lifted, self.symmetric)
        pushed = self.layout.operator(values, symmetric=self.symmetric).mv(lifted)
        pushing = tuple(not part.homogeneous for part in self.contributions)
        if any(pushing):
            pushed = pushed + self.unconstrained(jnp.zeros_like(lifted), pushing)
        operator = self.constraint.operator(self.layout, values, scale, symmetric=self.symmetric)
        return operator, self.constraint.reduce(pushed) + scale * (u - lifted)


def discretise(
    space: Space, conditions: Sequence[Condition], *groups: Sequence[Summand]
) -> tuple[DiscreteProblem, ...]:
    """Plan several problems that share a space, constraints and a sparsity: stiffness, mass and damping.

    Raises `ValueError` where a domain is unknown or empty.
    """
    planned = [tuple(summand.plan(space) for summand in group) for group in groups]
    parts = [part for group in planned for part in group]
    distinct, which = _distinct([part.dofs() for part in parts])
    beside = _beside(parts, which)
    parts = [_sharing(part, parts[first]) for part, first in zip(parts, beside, strict=True)]
    remaining = iter(parts)
    planned = [tuple(next(remaining) for _ in group) for group in planned]
    bent = sorted({number for number, part in zip(which, parts, strict=True) if _may_bend(part)})
    width = space.n_components if isinstance(space, FunctionSpace) else 1
    couplings = [distinct[number] for number in bent]
    lattice = None if any(isinstance(each, Tie) for each in conditions) else lattice_of(space)
    found = None if lattice is None else LatticeLayout.plan(lattice, couplings)
    layout, planned_sums = found or RowLayout.plan(space.n_dofs, width, couplings)
    sums = dict(zip(bent, planned_sums, strict=True))
    constraint = Constraint.of(space, conditions, layout)
    vectors = [layout.plan_vector(dofs) for dofs in distinct]
    numbers, firsts = iter(which), iter(beside)
    problems = []
    for group in planned:
        mine = tuple(next(numbers) for _ in group)
        used = sorted({number for number, part in zip(mine, group, strict=True) if _may_bend(part)})
        own = tuple(used.index(n) if _may_bend(part) else None for n, part in zip(mine, group, strict=True))
        to_matrix = MatrixPlan(tuple(sums[number] for number in used), own, layout.shape)
        to_vector = tuple(vectors[number] for number in mine)
        alike = [next(firsts) for _ in group]
        inside = tuple(alike.index(first) for first in alike)
        problems.append(DiscreteProblem(space, layout, group, to_vector, to_matrix, constraint, inside))
    return tuple(problems)


def _beside(parts: Sequence[Contribution], unknowns: Sequence[int]) -> list[int]:
    """For each contribution the number of the first one on the same elements and points; ``unknowns`` numbers their
    groups of elements.
    """
    found: list[int] = []
    for k, part in enumerate(parts):
        firsts = (j for j in dict.fromkeys(found) if unknowns[j] == unknowns[k])
        found.append(next((j for j in firsts if isinstance(part, Integral) and part.alike(parts[j])), k))
    return found


def _sharing(part: Contribution, first: Contribution) -> Contribution:
    """A contribution with the tables of the first one on the same elements."""
    if part is first:
        return part
    assert isinstance(part, Integral)
    assert isinstance(first, Integral)
    both = zip(part.domains, first.domains, strict=True)
    domains = tuple(dataclasses.replace(theirs, coefficients=mine.coefficients) for mine, theirs in both)
    return dataclasses.replace(part, domains=domains)


def _may_bend(part: Contribution) -> bool:
    """Whether a contribution has a tangent, or a parameter that may become a law of the field."""
    return part.has_tangent or bool(parameters_of(part))


def _distinct(elements: Sequence[list[np.ndarray]]) -> tuple[list[list[np.ndarray]], list[int]]:
    """The distinct groups of elements, such as those that stiffness and mass share, and the number of each one's."""
    distinct: list[list[np.ndarray]] = []
    which = []
    for groups in elements:
        same = (number for number, other in enumerate(distinct) if _equal(groups, other))
        which.append(next(same, len(distinct)))
        if which[-1] == len(distinct):
            distinct.append(groups)
    return distinct, which


def _equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
