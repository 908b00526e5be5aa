"""The time loop of all methods, differentiable in everything with bounded memory."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from gemel.solvers.implicit import stop_gradient
from gemel.solvers.solution import Code, Solution, Status
from gemel.solvers.time.integrator import TimeIntegrator
from gemel.solvers.time.steps import Steps, in_pieces
from gemel.solvers.time.systems import System

Save = Callable[[Array, Any], PyTree]
_KEPT_BYTES = 2**30


def integrate(
    system: System,
    initial: PyTree,
    times: Float[Array, " m"],
    args: PyTree,
    integrator: TimeIntegrator,
    substeps: int = 1,
    state: Any = None,
    save: Save | None = None,
    uniform: bool | None = None,
    segment: int | None = None,
    final: bool = False,
    memory: Any = None,
    remember: bool = False,
) -> Solution[PyTree]:
    """Integrate from times[0] to times[-1], with ``substeps`` equal steps from each time to the next.

    Differentiable in the initial state, args, times and the leaves of ``system``, forward and reverse.
    Reverse mode keeps only the stage values (their solves are not repeated), or, for ``segment`` = s, the
    state at every s-th time and the stages of one segment, at the price of one more forward run; None takes
    a single segment while the stages fit in 1 GB and √m intervals otherwise.
    Second derivatives are taken by forward mode over reverse, or over forward. Reverse over forward fails where a
    linear system is solved by iteration with steps of one size, and reverse over reverse always: JAX then
    differentiates the iterations themselves.

    Args:
        system: a `FirstOrderSystem` or a `SecondOrderSystem`, whichever the integrator is for.
        initial: u of shape (n,), or the pair (u, u̇) for a problem of second order. Where ``memory`` is given
            only its shapes are used.
        times: increasing, m ≥ 2. Equally spaced times let a linear system assemble its operator once;
            ``uniform`` says so where the times are not known (inside jit), None looks.
        state: of the linear solver, from ``integrator.init(system, t, initial, dt, args)``; None sets it up here.
        save: ``save(t, y)`` gives what is kept at each time, the first included, of the state y: u, or the
            `Motion` of a problem of second order; None keeps y.
        final: return y at the end too.
        memory: what an earlier run returned under ``remember``: the run continues as if it had not been
            interrupted.
        remember: return the memory of the integrator at the end too.

    Returns the saved pytree with a leading axis m (a tuple of it, with ``final`` y at the end, and with
    ``remember`` the memory), the first failure among all steps as status, and the statistics
    ``linear_steps`` (total) and ``steps``.
    """
    if substeps < 1:
        raise ValueError(f"substeps = {substeps}: at least one step is needed from each time to the next.")
    intervals = check_times(times) - 1
    uniform = _same_step(times) if uniform is None else uniform
    state = stop_gradient(state)
    dt = (times[-1] - times[0]) / (intervals * substeps)
    assembled = integrator.assemble(system, times[0], initial, args)
    memory, status = first_memory(integrator, system, assembled, state, times[0], initial, args, memory)
    shared = integrator.prepare(assembled, state, None, dt) if uniform else None
    keep = (lambda t, y: y) if save is None else save
    steps = Steps(system, integrator, args, keep, assembled, state, shared, dt, substeps)
    first = keep(times[0], integrator.output(memory))
    carry = (memory, status.code, jnp.zeros((), jnp.int32), integrator.trail(memory))
    length = segment_length(intervals, substeps, memory, segment)
    # A function of its own: what is rematerialised must have a hash, which a method of a module with arrays has not.
    carry, saved = in_segments(lambda *given: steps.run(*given), carry, (times[:-1], times[1:]), intervals, length)
    saved = jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a)[None], b]), first, saved)
    memory, code, count, _ = carry
    statistics = {"steps": jnp.asarray(intervals * substeps, jnp.int32), "linear_steps": count}
    y = integrator.output(memory)
    value = (saved, *((y,) if final else ()), *((memory,) if remember else ()))
    return Solution(value if len(value) > 1 else saved, finite_status(code, y), statistics)


def check_times(times: Array) -> int:
    """Return the number of times. Raises `ValueError` for fewer than two."""
    if times.ndim != 1 or times.shape[0] < 2:
        raise ValueError(f"times has shape {times.shape}; integrate needs at least two times in one axis.")
    return times.shape[0]


def first_memory(
    integrator: TimeIntegrator,
    system: System,
    assembled: Any,
    state: Any,
    t: Array,
    initial: PyTree,
    args: PyTree,
    memory: Any,
) -> tuple[Any, Status]:
    """Return the memory to begin with: a given one, or that of a start."""
    if memory is not None:
        return integrator.resume(system, assembled, t, memory, args), Status(jnp.zeros((), jnp.int32))
    return integrator.start(system, assembled, state, t, initial, args)


def finite_status(code: Array, y: PyTree) -> Status:
    """Return the status of a run that ended in y: never a success where that is not finite."""
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(y)]))
    lost = (code == Code.SUCCESS) & ~finite
    return Status(jnp.where(lost, Code.NOT_FINITE, code).astype(jnp.int32))


def _same_step(times: Array) -> bool:
    """True where the times are known and equally spaced."""
    if isinstance(times, Tracer):
        return False
    steps = np.diff(np.asarray(times))
    return bool(np.ptp(steps) <= 1e-9 * np.max(np.abs(steps)))


def segment_length(intervals: int, substeps: int, memory: Any, asked: int | None) -> int:
    """Intervals in a checkpointed segment: all where the stages fit in memory, else about √intervals."""
    if asked is not None:
        return max(1, min(asked, intervals))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory))
    if 2 * size * intervals * substeps <= _KEPT_BYTES:
        return intervals
    return math.isqrt(intervals - 1) + 1


def in_segments(piece: Callable, carry: Any, xs: Any, count: int, length: int) -> tuple[Any, Any]:
    """Apply ``piece(carry, xs)``, a scan, to segments of ``length``, each rematerialised in reverse mode, then to the
    rest.
    """
    if length >= count:
        return piece(carry, xs)
    return in_pieces(jax.checkpoint(piece, prevent_cse=False), carry, xs, count, length, jax.checkpoint(piece))
