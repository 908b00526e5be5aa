"""The entry: many small initial value problems at once."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree, Shaped

from gemel.solvers.ensembles.control import PIControl
from gemel.solvers.ensembles.lanes import Members, Queue
from gemel.solvers.ensembles.method import EnsembleMethod
from gemel.solvers.ensembles.modes import ForwardMode, ReverseMode
from gemel.solvers.ensembles.rates import Rate, slopes
from gemel.solvers.ensembles.reverse import reversible_run
from gemel.solvers.ensembles.run import run
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.solution import Code, Solution, Status


class Trajectories(eqx.Module):
    """The states at the end of the span, and at the requested times (None without). NaN where a member did not come."""

    final: Float[Array, "n B"]
    saved: Float[Array, "m n B"] | None


def integrate_ensemble(
    rate: Rate,
    initial: Shaped[Array, "..."],
    span: tuple[Any, Any],
    parameters: PyTree,
    method: EnsembleMethod,
    control: PIControl,
    times: Shaped[Array, "..."] | Shaped[np.ndarray, "..."] | None = None,
    lanes: int | None = None,
    derivatives: ForwardMode | ReverseMode | None = None,
) -> Solution[Trajectories]:
    r"""Integrate $\dot y_b = f(t, y_b, p_b)$ for B members at once, each with its own steps and error control.

    The members are stepped side by side in lanes; a lane whose member is done takes the next one, so that no member
    waits for the slowest. A member that fails says so in its own status and touches no other.

    Derivatives with respect to ``initial``, ``parameters`` and every floating-point leaf of ``rate`` (what all members
    share) are those of the discrete solution on its own steps, which are held fixed. The span and the times are not
    differentiated.

    Args:
        rate: ``rate(t, y, p)`` of one member, written with `jax.numpy`: t of shape (), y and the result of shape (n,),
            p without its members' axis.
        initial: y at the start of the span, shape (n, B): components first, members last.
        span: (t₀, t₁), each one number or (B,); t₁ may lie before t₀.
        parameters: a pytree of arrays whose last axis has the B members; None for none.
        method: `Tsit5` where the problem is not stiff, `Rodas5P` or `Rodas4` where it is.
        control: tolerances and the limit of steps.
        times: when to save, shape (m,), from t₀ towards t₁ in order; outside a member's span it saves NaN.
        lanes: how many members are stepped side by side; None for 1000 on a CPU and 65536 elsewhere, at most B.
        derivatives: `ReverseMode` (None) or `ForwardMode`.

    Returns the `Trajectories`; by member the status (``MAX_STEPS``; ``STAGNATION`` where the step fell to the rounding
    of t, as before a singularity; ``NOT_FINITE`` where the start, its parameters or its rate are not finite, or no step
    has a finite error) and the statistics ``accepted`` and ``rejected`` steps and the time ``reached``.

    Raises:
        ValueError: for shapes that do not fit, no member, or times out of order.
        TypeError: for a state that is not of a floating-point type.
    """
    if lanes is not None and lanes < 1:
        raise ValueError(f"lanes = {lanes}: at least one is needed.")
    initial = jnp.asarray(initial)
    start, end = _checked_span(span, initial)
    _check_parameters(parameters, initial.shape[1])
    _check_times(times, span)
    parameters = jax.tree.map(jnp.asarray, parameters)
    members = Members(_checked_rate(rate, initial, parameters), initial, parameters)
    queue = _new_queue(stop_gradient(members), start, end, times, method, stop_gradient(control))
    # Not a power of two on a CPU: rows 4096 bytes apart fall on the same lines of its cache (1.8 times slower).
    usual = 1000 if jax.default_backend() == "cpu" else 65536
    size = min(initial.shape[1], usual if lanes is None else lanes)
    go = run if isinstance(derivatives, ForwardMode) else reversible_run
    outcome = go(members, queue, size)
    board = outcome.board
    final = jnp.where(board.code == Code.SUCCESS, board.final, jnp.nan)
    statistics = {"accepted": board.accepted, "rejected": board.tried - board.accepted, "reached": board.reached}
    return Solution(Trajectories(final, outcome.saved), Status(board.code), stop_gradient(statistics))


def _new_queue(
    members: Members, start: Array, end: Array, times: Any, method: EnsembleMethod, control: PIControl
) -> Queue:
    """The members that can start, in order, and their first steps."""
    y, p = members.initial, members.parameters
    slope = slopes(members.rate, start, y, p)
    can = jnp.all(jnp.isfinite(y) & jnp.isfinite(slope), axis=0) & jnp.isfinite(start) & jnp.isfinite(end)
    for leaf in jax.tree.leaves(p):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            can = can & ~jnp.any(jnp.isnan(leaf.reshape(-1, leaf.shape[-1])), axis=0)
    first = control.first_step(members.rate, start, y, slope, p, end - start, method.error_order)
    order = jnp.argsort(~can, stable=True).astype(jnp.int32)
    times = None if times is None else jnp.asarray(times, y.dtype)
    return Queue(method, control, start, end, first, times, order, jnp.sum(can, dtype=jnp.int32))


def _checked_span(span: tuple[Any, Any], initial: Array) -> tuple[Array, Array]:
    if not jnp.issubdtype(initial.dtype, jnp.floating):
        raise TypeError(f"The initial states are of type {initial.dtype}: they must be floating-point numbers.")
    if initial.ndim != 2 or 0 in initial.shape:
        raise ValueError(
            f"The initial states have shape {initial.shape}: it must be (n, B), components first, neither of them zero."
        )
    members = initial.shape[1]
    ends = []
    for name, value in zip(("start", "end"), span, strict=True):
        value = jax.lax.stop_gradient(jnp.asarray(value, initial.dtype))
        if value.shape not in ((), (members,)):
            raise ValueError(f"The {name} of the span has shape {value.shape}: allowed are () and ({members},).")
        ends.append(jnp.broadcast_to(value, (members,)))
    return ends[0], ends[1]


def _check_parameters(parameters: PyTree, members: int) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(parameters):
        shape = np.shape(leaf)
        if not shape or shape[-1] != members:
            raise ValueError(
                f"parameters{jax.tree_util.keystr(path)} has shape {shape}: its last axis must have the {members} "
                "members; what all members share belongs into the rate."
            )


def _check_times(times: Any, span: tuple[Any, Any]) -> None:
    """Check the order of the times, where they and the span are known."""
    if times is None:
        return
    if np.ndim(times) != 1 or np.shape(times)[0] == 0:
        raise ValueError(f"The times have shape {np.shape(times)}: they must be a list of at least one.")
    if any(isinstance(value, Tracer) for value in (times, *span)):
        return
    steps = np.diff(np.asarray(times, float))
    direction = np.asarray(span[1], float) - np.asarray(span[0], float)
    ordered = any(np.all(steps * sign >= 0) and np.all(direction * sign >= 0) for sign in (1, -1))
    if not (np.all(np.isfinite(np.asarray(times, float))) and ordered):
        raise ValueError("The times must be in order from the start of the span towards its end, for every member.")


def _checked_rate(rate: Rate, initial: Array, parameters: PyTree) -> Rate:
    """The rate with all that it closes over as its leaves, traced once."""
    t, y = jnp.zeros((), initial.dtype), initial[:, 0]
    p = jax.tree.map(lambda leaf: leaf[..., 0], parameters)
    out = jax.eval_shape(lambda t, y, p: rate(t, y, p), t, y, p)
    if not hasattr(out, "shape") or out.shape != y.shape:
        found = out.shape if hasattr(out, "shape") else f"the structure {jax.tree.structure(out)}"
        raise ValueError(f"The rate returned {found}: it must return an array of shape {y.shape}, like the state.")
    if out.dtype != y.dtype:
        raise ValueError(f"The rate returned {out.dtype} for a state of {y.dtype}: both must be of one type.")
    return eqx.filter_closure_convert(rate, t, y, p)
