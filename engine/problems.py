"""Discrete problems: a space, integrals of forms over its domains, and constraints."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.assembly import GatherSum, MatrixLayout
from gemel.engine.coefficients import inputs_of
from gemel.engine.constraints import Constraint, Dirichlet
from gemel.engine.domains import Domain, cell_domain, facet_domain
from gemel.engine.forms import Form
from gemel.engine.spaces import FunctionSpace
from gemel.solvers.sparse import SparseOperator


class Integral(eqx.Module):
    """A form on a domain with the plans that assemble it.

    With ``total`` the form's numbers are totals over the domain (a power in W, a mass in kg) and are
    divided by the domain's measure.
    """

    form: Form
    domain: Domain
    to_vector: GatherSum
    to_matrix: GatherSum
    total: bool = eqx.field(static=True)

    def scale(self, points: Array) -> Array:
        """One, or the inverse of the domain's measure."""
        return 1.0 / self.domain.measure(points) if self.total else jnp.ones(())

    def residual(self, u: Array, points: Array) -> Float[Array, "n_nodes components"]:
        """The assembled residual of the form at ``u (n_nodes, *shape)``."""
        local = self.domain.residuals(self.form, u, points)
        return self.scale(points) * self.to_vector(local.reshape(-1, local.shape[-1]))

    def tangent(self, u: Array, points: Array) -> Float[Array, " nnz"]:
        """The assembled CSR values of the form's tangent at ``u``."""
        local = self.domain.tangents_of(self.form, u, points)
        return self.scale(points) * self.to_matrix(local.reshape(-1))


class Term(eqx.Module):
    """Where a form acts: ``facets`` or cells called ``on``; see `Integral` for ``total``."""

    form: Form
    on: str = eqx.field(static=True, default="all")
    facets: bool = eqx.field(static=True, default=False)
    total: bool = eqx.field(static=True, default=False)
    degree: int | None = eqx.field(static=True, default=None)


class DiscreteProblem(eqx.Module):
    r"""Find $u$ with $R(u; v) = 0$ for all $v$, $R$ a sum of integrals, $u = g$ on constrained parts.

    Unknowns are flat vectors ``(n_dofs,)``, node by node. The residual at a prescribed unknown is
    $u - g$; the tangent has the identity there and keeps its symmetry.
    """

    space: FunctionSpace
    layout: MatrixLayout
    integrals: tuple[Integral, ...]
    constraint: Constraint

    @staticmethod
    def of(
        space: FunctionSpace,
        terms: Sequence[Term],
        conditions: Sequence[Dirichlet] = (),
        layout: MatrixLayout | None = None,
    ) -> "DiscreteProblem":
        """Plan the integrals of ``terms`` on the host; ``layout`` may be shared between problems on one space."""
        layout = layout or MatrixLayout.of(space)
        integrals = tuple(integral(space, layout, term) for term in terms)
        return DiscreteProblem(space, layout, integrals, Constraint.of(space, tuple(conditions)))

    @property
    def linear(self) -> bool:
        """True where every form is affine in the field."""
        return all(part.form.linear for part in self.integrals)

    @property
    def steady_tangent(self) -> bool:
        """True where no input enters the tangent, so that it is the same at all times."""
        return not any(inputs_of(part.form.tangent_parameters) for part in self.integrals)

    @property
    def symmetric(self) -> bool:
        """True where the tangent is symmetric."""
        return all(part.form.symmetric for part in self.integrals)

    def unconstrained(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        """The assembled residual before constraints: at a solution, minus the reactions."""
        field = u.reshape(self.space.n_nodes, *self.space.shape)
        points = jnp.asarray(self.space.mesh.points)
        total = jnp.zeros_like(u)
        for part in self.integrals:
            total = total + part.residual(field, points).reshape(-1)
        return total

    def residual(self, u: Float[Array, " n"], scale: Any = 1.0) -> Float[Array, " n"]:
        """The residual whose root is the solution, ``(n_dofs,)``; ``scale`` weighs the rows of prescribed unknowns."""
        lifted = self.constraint.lift(u)
        return self.constraint.reduce(self.unconstrained(lifted)) + scale * (u - lifted)

    def matrix_values(self, u: Float[Array, " n"]) -> Float[Array, " nnz"]:
        """The CSR values of the tangent before constraints."""
        field = u.reshape(self.space.n_nodes, *self.space.shape)
        points = jnp.asarray(self.space.mesh.points)
        total = jnp.zeros(self.layout.rows.shape[0])
        for part in self.integrals:
            total = total + part.tangent(field, points)
        return total

    def tangent(self, u: Float[Array, " n"], scale: Any = 1.0) -> SparseOperator:
        """The tangent operator, with ``scale`` times the identity at prescribed unknowns."""
        values = self.matrix_values(self.constraint.lift(u))
        return self.layout.operator(values, self.constraint.free, scale, self.symmetric)


def integral(space: FunctionSpace, layout: MatrixLayout, term: Term) -> Integral:
    """Plan one term on a space.

    Raises `ValueError` where its domain is unknown or empty.
    """
    degree = term.degree
    if degree is None and not term.form.linear:
        degree = 2 * space.element.degree + 3  # the integrand is no product of two basis functions
    domain = (facet_domain if term.facets else cell_domain)(space, term.on, degree)
    if not domain.n_elements:
        raise ValueError(f"The tag '{term.on}' holds no {'facets' if term.facets else 'cells'}.")
    to_vector = GatherSum.plan(np.asarray(domain.nodes), space.n_nodes)
    return Integral(term.form, domain, to_vector, layout.plan(domain), term.total)
