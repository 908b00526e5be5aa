"""The fields of a transient or dynamic analysis over time."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import check_call
from gemel.engine.analyses.dynamic import Dynamic
from gemel.engine.analyses.transient import Transient
from gemel.engine.signals import Series
from gemel.solvers import Motion, Solution
from gemel.solvers.implicit import stop_gradient

Record = Callable[[Array, Any], Any]


class History(eqx.Module):
    """What a march gives.

    ``times (m,)`` in s; ``values``, what was recorded at each of them, with a leading axis; ``end``, the state at the
    last time, from which another march goes on as its ``initial`` (`Transient`) or ``displacement`` (`Dynamic`).
    """

    times: Float[Array, " m"]
    values: Any
    end: Any


def march(
    analysis: Transient | Dynamic,
    times: Any,
    inputs: Mapping[str, Series] | None = None,
    record: Record | None = None,
) -> Solution[History]:
    """Prepare an analysis and march it through time.

    Args:
        analysis: what is marched.
        times: at least two, in s, increasing: the first is the start. All steps from there to the last one are
            recorded; where an error control chooses the steps, these times are.
        inputs: a signal for each input of the physics.
        record: ``record(t, u)``, pure, of the time and the nodal values ``(n_nodes, *shape)`` (by field on a mixed
            space), in a dynamic analysis of the displacement, velocity and acceleration as ``{"u": ..., "v": ...,
            "a": ...}``; the field, or the displacement, when None. A record of what is needed keeps a long run small.

    Raises:
        ValueError: for times that do not fit, or an input without signal.
    """
    check_call("march", (Transient, Dynamic), analysis, inputs)
    grid = analysis.grid(_numbers(times))
    prepared = stop_gradient(analysis).prepare()
    default = _displacement if isinstance(analysis, Dynamic) else _field
    return _march(analysis, prepared, dict(inputs or {}), jnp.asarray(grid), record or default)


def _numbers(times: Any) -> np.ndarray:
    if isinstance(times, Tracer):
        raise ValueError("The times of a march must be known numbers: give them from outside of jit, grad and vmap.")
    try:
        return np.asarray(times, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The times of a march must be numbers in s, not {times!r}.") from error


def _field(t: Array, u: Any) -> Any:
    return u


def _displacement(t: Array, motion: dict[str, Any]) -> Any:
    return motion["u"]


def _by_name(state: Any, change: Callable[[Array], Any]) -> Any:
    """A flat field, or the parts of a motion by name, changed."""
    if isinstance(state, Motion):
        return {"u": change(state.u), "v": change(state.v), "a": change(state.a)}
    return change(state)


@eqx.filter_jit
def _march(
    analysis: Transient | Dynamic, prepared: Any, inputs: dict[str, Series], grid: Array, record: Record
) -> Solution[History]:
    def keep(t: Array, state: Any) -> Any:
        return record(t, _by_name(state, analysis.physics.problem.space.unflatten))

    solution = analysis.solve(prepared, inputs, grid, keep)
    values, state = solution.value
    end = _by_name(state, lambda u: u) if isinstance(state, Motion) else state
    return Solution(History(grid, values, end), solution.status, solution.statistics)
