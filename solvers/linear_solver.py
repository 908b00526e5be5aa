"""What every linear solver and every preconditioner provides."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Solution

_FURTHEST = 100.0
"""Rounding excuses an error of at most this many times the target."""

_LARGEST = 1e4
"""Rounding excuses a residual of at most this many times the target where the work of the load is closer."""


class LinearSolver(eqx.Module):
    """Solves A x = b for a `LinearOperator` A.

    ``init`` sets up on the host or in jit (preconditioner hierarchies, factorisations); ``update``
    refreshes what must follow changed values, and ``compute`` solves. ``update`` and ``compute`` are pure
    and run under jit and vmap. A state is a pytree of arrays and belongs to A also when Aᵀ x = b is solved.
    """

    @abc.abstractmethod
    def init(self, operator: LinearOperator) -> Any:
        """Return the state for an operator."""

    @abc.abstractmethod
    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Return the state adapted to an operator of the same structure with other values."""

    @abc.abstractmethod
    def compute(
        self,
        state: Any,
        operator: LinearOperator,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve A x = b, or Aᵀ x = b, from the guess ``x0`` (zero where None).

        Returns x, the status, and the statistics ``steps`` and ``residual`` = ‖b − A x‖₂.
        """


class Preconditioner(eqx.Module):
    """An approximate inverse of an operator; ``apply`` is linear in r."""

    @abc.abstractmethod
    def init(self, operator: LinearOperator) -> Any:
        """Return the state for an operator."""

    @abc.abstractmethod
    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Return the state adapted to an operator of the same structure with other values."""

    @abc.abstractmethod
    def apply(self, state: Any, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the approximation of A⁻¹ r."""


def inverse_size(b: Float[Array, " n"]) -> Float[Array, ""]:
    """A power of two that brings the largest entry of b near one; one where b is zero or not finite.

    Squares of entries below 1e-154, or beyond 1e154, leave the range of doubles (1e-19 and 1e19 in single precision),
    and norms and products of vectors with them. Scaled by it they stay inside, and keep every digit.
    """
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(b)), initial=0.0)
    limits = jnp.finfo(b.dtype)
    _, exponent = jnp.frexp(jnp.where((largest > 0) & jnp.isfinite(largest), largest, 0.5))
    return jnp.ldexp(jnp.ones((), b.dtype), -jnp.clip(exponent, limits.minexp + 2, limits.maxexp - 2))


def reached(
    operator: LinearOperator, x: Float[Array, " n"], b: Float[Array, " n"], r: Float[Array, " n"], target: Array
) -> Bool[Array, ""]:
    r"""Whether the norm of r = b - A x is at most ``target``, or what rounding leaves of the best x there is.

    Rounding x to floating point alone moves the residual by about $\varepsilon \lVert A (\xi \circ x) \rVert_2$, with
    random signs $\xi$. Within four times of that no solver does better, a direct one neither: conductivities that
    differ by 1e6 keep relative residuals of 1e-8 out of reach in double precision, plates of a hundredth of their side
    those of 1e-5. At most 100 times the target is excused, which an x that runs away in a null space exceeds. Of a
    symmetric operator it is enough if the relative error of the work of the load, $|r^\top x| / |b^\top x|$, is no more
    than that: the residual of a plate is rough, and its displacements are better by a factor of a hundred.

    Source: Higham, *Accuracy and Stability of Numerical Algorithms*, SIAM (2002), section 7.1.
    """
    residual = jnp.linalg.norm(r)

    def ask(known: tuple[Array, Array]) -> tuple[Array, Array]:
        signs = jax.random.rademacher(jax.random.key(0), x.shape, x.real.dtype)
        rounding = 4 * jnp.finfo(x.dtype).eps * jnp.linalg.norm(operator.mv(signs * x))
        most = jnp.asarray(_FURTHEST, residual.dtype)
        if operator.symmetric:
            work = jnp.abs(jnp.vdot(r, x)) * jnp.linalg.norm(b)
            most = jnp.where(work <= _FURTHEST * target * jnp.abs(jnp.vdot(b, x)), _LARGEST, most)
        return jnp.ones((), bool), jnp.minimum(rounding, most * target)

    # A loop of at most one round: unlike a cond it keeps what systems of a batch share.
    start = jnp.zeros((), bool), jnp.zeros_like(residual)
    _, rounding = jax.lax.while_loop(lambda known: (residual > target) & ~known[0], ask, start)
    return residual <= jnp.maximum(target, rounding)
