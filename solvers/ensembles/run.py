"""A run of all members, straight through."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gemel.solvers.ensembles.lanes import Board, Members, Queue, empty, refill, run_round, waiting


class Outcome(eqx.Module):
    """What a run gives: the results by member, and the saved values (m, n, B), NaN where a member did not come."""

    board: Board
    saved: Array | None


def blank(queue: Queue, initial: Array) -> Array | None:
    """Return room for the saved values."""
    return None if queue.times is None else jnp.full((queue.times.shape[0], *initial.shape), jnp.nan, initial.dtype)


def run(members: Members, queue: Queue, size: int) -> Outcome:
    """Run all members of the queue in ``size`` lanes; differentiable in forward mode."""

    def proceed(carry):
        lanes, board, _ = carry
        return waiting(queue, lanes, board)

    def body(carry):
        lanes, board, saved = carry
        lanes, board = refill(members, queue, lanes, board)
        lanes, saved, _, _ = run_round(members, queue, lanes, saved, board.head, None, None)
        return lanes, board, saved

    lanes, board = empty(members, queue, size)
    _, board, saved = jax.lax.while_loop(proceed, body, (lanes, board, blank(queue, members.initial)))
    return Outcome(board, saved)
