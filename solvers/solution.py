"""One pair for every solve: a value with the status and the statistics of how it was reached."""

import enum
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

Value = TypeVar("Value")


class Code(enum.IntEnum):
    """Outcome of a solve. Everything but ``SUCCESS`` is a failure whose message says what to try."""

    SUCCESS = 0
    MAX_STEPS = 1
    STAGNATION = 2
    DIVERGENCE = 3
    NOT_FINITE = 4
    BREAKDOWN = 5

    @property
    def message(self) -> str:
        """What happened and what to try, in one sentence."""
        return _MESSAGES[self]


_MESSAGES = {
    Code.SUCCESS: "the tolerance was met.",
    Code.MAX_STEPS: "the limit of iterations was reached before the tolerance was met: "
    "raise max_steps, loosen the tolerance or, of an iterative linear solver, strengthen the preconditioner.",
    Code.STAGNATION: "the residual stopped falling above the tolerance: "
    "loosen the tolerance, scale the problem, or check that it has enough constraints "
    "(without them only loads in balance have a solution).",
    Code.DIVERGENCE: "the residual grew: start closer to the solution or take smaller steps.",
    Code.NOT_FINITE: "a residual was not finite: check the parameters and the data for NaN, Inf or zero stiffness.",
    Code.BREAKDOWN: "the method cannot go on with this matrix: CG needs a positive definite operator, CG and MINRES a "
    "positive definite preconditioner; check signs and constraints, or use MINRES (symmetric) or GMRES.",
}


class SolveError(RuntimeError):
    """A solve failed; the message says how and what to try."""


class Status(eqx.Module):
    """The outcome of a solve, as an array so that it passes through ``jit`` and ``vmap``.

    ``code`` holds a value of `Code`; under ``vmap`` it has one entry per member.
    """

    code: Int[Array, "..."]

    @property
    def ok(self) -> Array:
        """True where the solve met its tolerance."""
        return self.code == Code.SUCCESS

    def worst(self) -> Code:
        """The first failure on the host, or ``SUCCESS``. Needs a concrete array."""
        codes = np.ravel(np.asarray(self.code))
        bad = codes[codes != Code.SUCCESS]
        return Code(int(bad[0])) if bad.size else Code.SUCCESS

    @staticmethod
    def combine(*statuses: "Status") -> "Status":
        """The first failure among several, element by element."""
        code = statuses[0].code
        for status in statuses[1:]:
            code = jnp.where(code == Code.SUCCESS, status.code, code)
        return Status(code)


class Solution(eqx.Module, Generic[Value]):
    """The result of any solve: ``value``, ``status``, and ``statistics`` such as ``steps`` and ``residual``."""

    value: Value
    status: Status
    statistics: dict[str, Any]

    def checked(self, what: str = "solve") -> Value:
        """Return the value, or raise `SolveError` with the status' message (outside ``jit`` only)."""
        worst = self.status.worst()
        if worst != Code.SUCCESS:
            raise SolveError(f"The {what} failed: {worst.message}")
        return self.value
