"""A run of all members that can be gone through backwards: stored in rounds, each repeated when its turn comes."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from gemel.solvers.ensembles.lanes import (
    Lanes,
    Log,
    Members,
    Queue,
    due,
    empty,
    parameters_of,
    place_in_step,
    put,
    refill,
    run_round,
    take,
    waiting,
    write_row,
)
from gemel.solvers.ensembles.run import Outcome, blank, run


class Rounds(eqx.Module):
    """The lanes and the head of the queue at the start of every round, stacked, and the number of rounds."""

    lanes: Lanes
    head: Int[Array, " R"]
    count: Int[Array, ""]


class Bars(eqx.Module):
    """Derivatives of the functional: with respect to the lanes' states and parameters, and sums of those done."""

    y: Float[Array, "n L"]
    p: PyTree
    rate: PyTree
    initial: Float[Array, "n B"]
    parameters: PyTree


def limits(queue: Queue, size: int) -> tuple[int, int]:
    """Return how many ticks a stored round has at most, and how many rounds there can be.

    While members wait, more than 7/8 of the lanes work; after that, no lane takes more than ``max_steps``. So the ticks
    are bounded, and a round ends by its cap or by freeing an eighth of the lanes.
    """
    total, steps = queue.order.shape[0], queue.control.max_steps
    enough = max(1, size // 8)
    ticks = steps * (1 + math.ceil(total / max(1, size - enough)))
    cap = max(16, math.isqrt(ticks))
    return cap, math.ceil(ticks / cap) + math.ceil(total / enough) + 3


def new_log(lanes: Lanes, cap: int) -> Log:
    """Return room for the steps of one round."""
    row = Log(lanes.active, lanes.t, lanes.y, lanes.cursor, lanes.h, lanes.t)
    return jax.tree.map(lambda leaf: jnp.zeros((cap, *leaf.shape), leaf.dtype), row)


@eqx.filter_custom_vjp
def reversible_run(members: Members, queue: Queue, size: int) -> Outcome:
    """Do as `run`, differentiable in reverse mode."""
    return run(members, queue, size)


@reversible_run.def_fwd
def _forward(perturbed: Any, members: Members, queue: Queue, size: int) -> tuple[Outcome, Rounds]:
    """Run with the lanes stored at the start of every round."""
    cap, most = limits(queue, size)
    lanes, board = empty(members, queue, size)
    log = new_log(lanes, cap)

    def proceed(carry):
        lanes, board, _, rounds = carry
        return waiting(queue, lanes, board) & (rounds.count < most)

    def body(carry):
        lanes, board, saved, rounds = carry
        lanes, board = refill(members, queue, lanes, board)
        stored = write_row(rounds.lanes, lanes, rounds.count), write_row(rounds.head, board.head, rounds.count)
        lanes, saved, _, _ = run_round(members, queue, lanes, saved, board.head, log, cap)
        return lanes, board, saved, Rounds(*stored, rounds.count + 1)

    room = jax.tree.map(lambda leaf: jnp.zeros((most, *leaf.shape), leaf.dtype), lanes)
    rounds = Rounds(room, jnp.zeros(most, jnp.int32), jnp.zeros((), jnp.int32))
    carry = (lanes, board, blank(queue, members.initial), rounds)
    _, board, saved, rounds = jax.lax.while_loop(proceed, body, carry)
    return Outcome(board, saved), rounds


@reversible_run.def_bwd
def _backward(rounds: Rounds, change: Outcome, perturbed: Any, members: Members, queue: Queue, size: int) -> Members:
    """Go back through the rounds: repeat each from its stored start, then through its steps, last first."""
    initial, moving = members.initial, eqx.filter(members.parameters, eqx.is_inexact_array)
    final = jnp.zeros_like(initial) if change.board.final is None else change.board.final
    cap, _ = limits(queue, size)
    log = new_log(jax.tree.map(lambda leaf: leaf[0], rounds.lanes), cap)
    zeros = jax.tree.map(jnp.zeros_like, (eqx.filter(members.rate, eqx.is_inexact_array), initial, moving))
    lane_zeros = jax.tree.map(lambda leaf: jnp.zeros((*leaf.shape[:-1], size), leaf.dtype), (initial, moving))

    def proceed(carry):
        return carry[0] > 0

    def body(carry):
        number, bars = carry
        start = jax.tree.map(lambda leaf: leaf[number - 1], rounds.lanes)
        end, _, steps, ticks = run_round(members, queue, start, None, rounds.head[number - 1], log, cap)
        ended = start.active & ~end.active
        y = jnp.where(ended, take(final, start.member), bars.y)
        y = jnp.where(_strayed(rounds, end, number), jnp.nan, y)
        p = jax.tree.map(lambda leaf: jnp.where(ended, 0, leaf), bars.p)
        assert steps is not None
        bars = Bars(y, p, bars.rate, bars.initial, bars.parameters)
        bars = _back_through(members, queue, change.saved, start, steps, ticks, bars)
        place = jnp.where(start.fresh, start.member, initial.shape[1])
        done = put((bars.initial, bars.parameters), place, (bars.y, bars.p))
        return number - 1, Bars(bars.y, bars.p, bars.rate, *done)

    _, bars = jax.lax.while_loop(proceed, body, (rounds.count, Bars(*lane_zeros, *zeros)))
    return Members(bars.rate, bars.initial, bars.parameters)


def _strayed(rounds: Rounds, end: Lanes, number: Array) -> Array:
    """True in lanes whose repeated round did not end where the stored one did: a decision on the edge of rounding.

    The derivative of such a member would belong to two different runs; it becomes NaN.
    """
    following = jax.tree.map(lambda leaf: leaf[jnp.minimum(number, leaf.shape[0] - 1)], rounds.lanes)
    carried = (number < rounds.count) & following.active & ~following.fresh
    apart = jnp.abs(following.t - end.t) > 1e-6 * jnp.abs(following.h)
    return (carried != end.active) | (carried & apart)


def _back_through(
    members: Members, queue: Queue, saved: Array | None, start: Lanes, steps: Log, ticks: Array, bars: Bars
) -> Bars:
    """Go back through the steps of one round.

    Lanes that took no step take one of size zero from the start of the first member in the queue, where the rate is
    finite: it adds nothing, whatever their own state.
    """
    method, donor = queue.method, queue.order[:1]
    safe = take((queue.start, members.initial, members.parameters), donor)
    mine = (None, None, parameters_of(members, queue, start))
    rate, fixed_rate = eqx.partition(members.rate, eqx.is_inexact_array)

    def body(carry):
        number, lane_y, lane_p, total = carry
        row: Log = jax.tree.map(lambda leaf: leaf[number - 1], steps)
        moves = row.h != 0
        t, y, p = jax.tree.map(lambda a, b: jnp.where(moves, a, b), (row.t, row.y, mine[2]), safe)
        free, fixed = eqx.partition(p, eqx.is_inexact_array)

        def advance(rate: PyTree, y: Array, free: PyTree) -> tuple[Array, Array]:
            f, p = eqx.combine(rate, fixed_rate), eqx.combine(free, fixed)
            step = method.step(f, t, row.h, y, method.start(f, t, y, p), p)
            return step.y, step.stages

        (_, stages), pull = jax.vjp(advance, rate, y, free)
        direct, inner = _saved_bars(queue, saved, start, row, stages)
        rate_bar, y_bar, p_bar = pull((jnp.where(moves, lane_y, 0), inner))
        lane_y = jnp.where(moves, y_bar, lane_y) + direct
        lane_p = jax.tree.map(lambda a, b: jnp.where(moves, a + b, a), lane_p, p_bar)
        return number - 1, lane_y, lane_p, jax.tree.map(jnp.add, total, rate_bar)

    carry = (ticks, bars.y, bars.p, bars.rate)
    _, y, p, total = jax.lax.while_loop(lambda carry: carry[0] > 0, body, carry)
    return Bars(y, p, total, bars.initial, bars.parameters)


def _saved_bars(
    queue: Queue, saved: Array | None, start: Lanes, row: Log, stages: Array
) -> tuple[Float[Array, "n L"], Float[Array, "s n L"]]:
    """The derivatives with respect to y and the stages that come from the values saved within one step."""
    direct, inner = jnp.zeros_like(row.y), jnp.zeros_like(stages)
    if queue.times is None or saved is None:
        return direct, inner
    forward, last = start.end >= row.t, queue.times.shape[0] - 1

    def proceed(carry):
        return jnp.any(due(queue, carry[0], row.good, row.after, forward))

    def collect(carry):
        cursor, direct, inner = carry
        now = due(queue, cursor, row.good, row.after, forward)
        weights = queue.method.weights(place_in_step(queue, cursor, row.t, row.h))
        bar = saved[jnp.minimum(cursor, last), :, jnp.minimum(start.member, saved.shape[2] - 1)].T
        bar = jnp.where(now, bar, 0)
        return cursor + now, direct + bar, inner + weights[:, None] * bar

    _, direct, inner = jax.lax.while_loop(proceed, collect, (row.cursor, direct, inner))
    return direct, inner
