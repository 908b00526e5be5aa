"""History variables: values at quadrature points that a converged step hands to the next."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.coefficients import QuadratureField
from gemel.engine.domains import Domain
from gemel.engine.fields import Point
from gemel.engine.forms import Form
from gemel.engine.problems import DiscreteProblem, Integral, Summand, Term
from gemel.engine.spaces import Space


class HistoryForm(Form):
    """A form whose pair depends on what happened before: on ``state``, and on the length ``dt`` of the step in s.

    ``state`` is None where there is no history, a `QuadratureField` in a problem, and the value of the point when the
    form is evaluated.
    """

    state: eqx.AbstractVar[Any]
    dt: eqx.AbstractVar[Any]

    @abstractmethod
    def initial_state(self) -> Any:
        """The state of one point at the start, a pytree of arrays; None without history."""

    @abstractmethod
    def advance(self, u: Any, point: Point) -> Any:
        """The state of one point at the end of the step, at the converged field."""


class HistoryTerm(Summand):
    """A `HistoryForm` on cells, planned with the initial state at every quadrature point.

    Args:
        form: the integrand.
        on: a tag of cells.
        degree: polynomial degree that the quadrature integrates exactly.
        fields: as in `Term`.
    """

    form: HistoryForm
    on: str = eqx.field(static=True, default="all")
    degree: int | None = eqx.field(static=True, default=None)
    fields: str | tuple[str, ...] | None = eqx.field(static=True, default=None)

    def plan(self, space: Space) -> Integral:
        """The integral with its states. Raises `ValueError` where the domain is unknown or empty."""
        integral = Term(self.form, self.on, degree=self.degree, fields=self.fields).plan(space)
        state = self.form.initial_state()
        if state is None:
            return integral
        field = QuadratureField(tuple(_tiled(domain, state) for domain in integral.domains))
        return _with(integral, field, self.form.dt)


def _tiled(domain: Domain, state: Any) -> Any:
    shape = (domain.n_elements, domain.weights.shape[0])
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*shape, *jnp.shape(leaf))), state)


def _with(integral: Integral, state: Any, dt: Any) -> Integral:
    replaced = eqx.tree_at(
        lambda part: (part.form.state, part.form.dt), integral, (state, dt), is_leaf=lambda node: node is None
    )
    assert isinstance(replaced, Integral)
    return replaced


def _state(part: Any) -> Any:
    """The state of a contribution, None for one without history."""
    if isinstance(part, Integral) and isinstance(part.form, HistoryForm):
        return part.form.state
    return None


def history_of(problem: DiscreteProblem) -> tuple[QuadratureField, ...]:
    """The states that a problem starts from, one `QuadratureField` for each of its contributions with history."""
    return tuple(state for state in map(_state, problem.contributions) if state is not None)


def with_history(problem: DiscreteProblem, history: tuple[QuadratureField, ...], dt: Any) -> DiscreteProblem:
    """The problem of a step of ``dt`` s from these states."""
    states = iter(history)
    parts = []
    for part in problem.contributions:
        if isinstance(part, Integral) and isinstance(part.form, HistoryForm):
            part = _with(part, None if part.form.state is None else next(states), dt)
        parts.append(part)
    return eqx.tree_at(lambda p: p.contributions, problem, tuple(parts))


def advance_history(problem: DiscreteProblem, u: Float[Array, " n"]) -> tuple[QuadratureField, ...]:
    """The states at the end of the step that ``problem`` describes, at its solution ``u``."""
    points = jnp.asarray(problem.space.mesh.points)
    return tuple(
        part.evaluate(lambda form, jet, point: form.advance(jet, point), u, points)
        for part in problem.contributions
        if isinstance(part, Integral) and _state(part) is not None
    )
