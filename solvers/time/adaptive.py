"""Runs that choose their steps: found first without derivatives, then repeated with derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from gemel.solvers.implicit import stop_gradient
from gemel.solvers.solution import Solution
from gemel.solvers.time.control import ErrorControl
from gemel.solvers.time.events import EventRecord, Events
from gemel.solvers.time.integrator import EmbeddedIntegrator, TimeIntegrator
from gemel.solvers.time.loop import (
    Save,
    check_times,
    finite_status,
    first_memory,
    in_segments,
    segment_length,
)
from gemel.solvers.time.plan import Plan, Run, find_plan
from gemel.solvers.time.steps import checkpointed_step, first_failure
from gemel.solvers.time.systems import System


def integrate_adaptive(
    system: System,
    initial: PyTree,
    times: Array,
    args: PyTree,
    integrator: TimeIntegrator,
    control: ErrorControl | None = None,
    events: Events | None = None,
    state: Any = None,
    save: Save | None = None,
    segment: int | None = None,
    memory: Any = None,
) -> Solution[tuple[PyTree, EventRecord | None, Any]]:
    """Integrate from times[0] to times[-1] with steps that an error control chooses and events cut.

    The steps end at every requested time. They are found by a forward run without derivatives; a second run
    repeats them with derivatives, forward and reverse, in everything that `integrate` differentiates. The
    sequence of steps and events is held fixed, while the event times themselves are differentiated: see
    `Event`. So derivatives are those of the discrete solution on its own steps.

    Args:
        system, initial, args, integrator, state, save, memory: as for `integrate`.
        times: the requested times, increasing, m ≥ 2.
        control: chooses the steps, for an `EmbeddedIntegrator`; None steps from each time to the next.
        events: what switches the run; None for nothing.
        segment: steps between stored states in reverse mode, as for `integrate`.

    Returns the saved pytree with a leading axis m (NaN from where the run ended early), the record of the events
    (None without), and the memory at the end; as status the first failure, ``MAX_STEPS`` where the limit of steps or
    of events was reached; the statistics ``steps``, ``tried`` and ``linear_steps``.
    """
    intervals = check_times(times) - 1
    if control is not None and not isinstance(integrator, EmbeddedIntegrator):
        raise ValueError(f"{type(integrator).__name__} does not estimate its error: an ErrorControl needs SDIRK4.")
    state, keep = stop_gradient(state), (lambda t, y: y) if save is None else save
    modal = events is not None and events.in_mode is not None
    first_args = args if events is None else events.args(args, jnp.asarray(events.mode, jnp.int32))
    assembled = integrator.assemble(system, times[0], initial, first_args)
    memory, status = first_memory(integrator, system, assembled, state, times[0], initial, first_args, memory)
    run = Run(system, integrator, modal, state, assembled, times, args, control, events)
    rows = (intervals if control is None else control.max_steps) + (0 if events is None else events.limit)
    plan = stop_gradient(find_plan(stop_gradient(run), stop_gradient(memory), rows))
    return _replay(run, plan, memory, status.code, keep, segment)


def _replay(
    run: Run, plan: Plan, memory: Any, code: Array, keep: Save, segment: int | None
) -> Solution[tuple[PyTree, EventRecord | None, Any]]:
    """Repeat the steps of a plan, with derivatives."""
    times, integrator, events = run.times, run.integrator, run.events
    rows, m = plan.sizes.shape[0], times.shape[0]
    first = keep(times[0], integrator.output(memory))
    saved = jax.tree.map(lambda leaf: _blank(jnp.asarray(leaf), m).at[0].set(leaf), first)
    limit = 0 if events is None else events.limit
    zero = jnp.zeros((), jnp.int32)
    mode = jnp.asarray(0 if events is None else events.mode, jnp.int32)
    record = EventRecord(jnp.full(limit, jnp.nan, times.dtype), jnp.full(limit, -1, jnp.int32), zero, mode)

    def body(carry, row):
        number, size, slot, which = row

        def skip():
            return carry

        def go():
            (memory, code, count, trail), t, mode, record, saved = carry
            lands = slot < m
            end = times[jnp.minimum(slot, m - 1)]
            dt = jnp.where(lands, end - t, size)
            if events is not None:
                dt = jax.lax.cond(which >= 0, lambda: _event_time(run, which, memory, t, size, mode), lambda: dt)
            prepared, args = run.prepare(memory, t, dt, mode)
            step = checkpointed_step(integrator, run.system, args)
            memory, code, count, trail = step((memory, code, count, trail), prepared, t, dt)
            code = first_failure(code, integrator.verdict(run.system, prepared, memory, t + dt, dt, args).code)
            now = t + dt
            if events is not None:
                memory, mode, code, record = jax.lax.cond(
                    which >= 0,
                    lambda: _strike(run, which, memory, now, mode, code, record),
                    lambda: (memory, mode, code, record),
                )
            now = jnp.where(lands, end, now)
            kept = keep(now, integrator.output(memory))
            saved = jax.tree.map(lambda all_, one: all_.at[slot].set(one, mode="drop"), saved, kept)
            return (memory, code, count, trail), now, mode, record, saved

        return jax.lax.cond(number < plan.taken, go, skip), None

    begun = (memory, first_failure(code, plan.code), zero, integrator.trail(memory))
    carry = (begun, times[0], mode, record, saved)
    xs = (jnp.arange(rows), plan.sizes, plan.slots, plan.events)
    carry, _ = in_segments(
        lambda carry, xs: jax.lax.scan(body, carry, xs), carry, xs, rows, segment_length(rows, 1, memory, segment)
    )
    (memory, code, count, _), _, mode, record, saved = carry
    statistics = {"steps": plan.taken, "tried": plan.tried, "linear_steps": count}
    record = None if events is None else EventRecord(record.times, record.which, record.count, mode)
    return Solution((saved, record, memory), finite_status(code, integrator.output(memory)), statistics)


def _blank(like: Array, m: int) -> Array:
    """m rows of NaN, or of zero for whole numbers."""
    fill = jnp.nan if jnp.issubdtype(like.dtype, jnp.inexact) else 0
    return jnp.full((m, *like.shape), fill, like.dtype)


def _event_time(run: Run, which: Array, memory: Any, t: Array, size: Array, mode: Array) -> Array:
    """The part of the step before an event, found already, as an implicit function of all that it depends on."""

    def g(dt: Array) -> Array:
        return run.event_value(which, memory, t, dt, mode)

    return jax.lax.custom_root(
        g, size, lambda _, guess: guess, lambda slope, value: value / slope(jnp.ones_like(value))
    )


def _strike(
    run: Run, which: Array, memory: Any, t: Array, mode: Array, code: Array, record: EventRecord
) -> tuple[Any, Array, Array, EventRecord]:
    """What an event changes."""
    memory, mode, start_code = run.after_event(which, memory, t, mode)
    place = record.count
    times, numbers = record.times.at[place].set(t, mode="drop"), record.which.at[place].set(which, mode="drop")
    return memory, mode, first_failure(code, start_code), EventRecord(times, numbers, place + 1, mode)
