r"""Starts for the solves of derivatives in a march, from those of the steps before.

A forward run starts each solve from an extrapolation of past steps. Its adjoint goes through the same steps backwards,
with operators that are the same or alike, and finds neighbouring solutions $\lambda_n$ of $A^T \lambda_n = b_n$. In
their span lies the start of the next one, the combination whose right-hand side comes closest to the new one:

$$ x_0 = \sum_j c_j x_j, \qquad c = \arg\min_c \Big\lVert b - \sum_j c_j b_j \Big\rVert_2. $$

It needs no product with the operator. Where it stays the same $x_0$ is no worse than zero, and no worse than any
extrapolation through the same solutions: where sensors are read, and right-hand sides jump, it extrapolates the rest.

Source: Fischer, *Projection techniques for iterative solution of Ax = b with successive right-hand sides*, Comput.
Methods Appl. Mech. Eng. 163 (1998).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

_RIDGE = 1e-14
"""Added to the unit diagonal of the normal equations: right-hand sides that are zero, or depend on others, drop out."""


class Trail(eqx.Module):
    """The last solutions and their right-hand sides, both as backward differences, the newest first.

    Differences of a smooth sequence are far from parallel, so that the normal equations of their combination are good
    enough. ``sides (k, n)`` and ``solutions (k, n)``; zeros where nothing is known. A step has so many ``solves``.
    """

    sides: Float[Array, "k n"]
    solutions: Float[Array, "k n"]
    solves: int = eqx.field(static=True)
    aside: "Aside | None" = None

    @staticmethod
    def none(count: int, like: Float[Array, " n"], solves: int) -> "Trail":
        """Nothing known yet, with room for so many."""
        empty = jnp.zeros((count, *like.shape), like.dtype)
        return Trail(empty, empty, solves)

    def beside(self, aside: "Aside | None") -> "Trail":
        """Return the same trail with, or without, operators set aside."""
        return Trail(self.sides, self.solutions, self.solves, aside)

    def start(self, b: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the combination of the solutions whose right-hand side comes closest to b."""
        # A product with each row: of products with tall tables XLA makes tasks for threads, which take longer.
        table = jnp.stack([self.sides @ row for row in (*self.sides, b)], axis=1)
        square = jnp.diagonal(table)
        scale = jnp.where(square > 0, 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        table = scale[:, None] * table * jnp.append(scale, 1.0)
        return (scale * _solved(table)) @ self.solutions

    def extended(self, b: Float[Array, " n"], x: Float[Array, " n"]) -> "Trail":
        """Return the trail with one more solution x of a system with the right-hand side b."""
        return Trail(_differences(self.sides, b), _differences(self.solutions, x), self.solves)


class Aside(eqx.Module):
    r"""Linear solves of a step whose operator has no derivative: that is set aside, for many steps together.

    With $A u = b + p$ and $p = 0$, a change of $A$ changes $u$ as $\dot p = -\dot A u$ does. ``pushes`` are the p of
    the solves to come, ``solutions`` the u of those that were; both have a row for each.
    """

    pushes: Float[Array, "solves n"]
    solutions: Float[Array, "solves n"]

    def next(self, u: Float[Array, " n"]) -> "Aside":
        """Return what is left after a solve."""
        solutions = jnp.concatenate([self.solutions[1:], u[None]])
        return Aside(jnp.concatenate([self.pushes[1:], self.pushes[:1]]), solutions)


def _differences(table: Float[Array, "k n"], new: Float[Array, " n"]) -> Float[Array, "k n"]:
    """Backward differences ∇⁰ … ∇ᵏ⁻¹ with one more value: ∇ʲ is that of ∇ʲ⁻¹ now and one before."""
    rows = [new]
    for old in table[:-1]:
        rows.append(rows[-1] - old)
    return jnp.stack(rows)


def _solved(table: Float[Array, "k k_and_one"]) -> Float[Array, " k"]:
    """Solve symmetric positive semidefinite equations with a unit diagonal, written [G | g], by elimination."""
    count = table.shape[0]
    table = table + _RIDGE * jnp.eye(count, count + 1)
    for i in range(count):
        row = table[i] / table[i, i]
        table = (table - table[:, i : i + 1] * row).at[i].set(row)
    return table[:, -1]
