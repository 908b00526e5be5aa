"""Small dense linear systems of many members: LU with partial pivoting, members on the last axis."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

UNROLLED = 3
"""Up to this size every operation is written out; above, a loop over the columns compiles and runs faster."""


class SmallFactors(eqx.Module):
    """Factors written out: ``swaps`` tells for each pair (k, i), k < i, in which members the rows changed places."""

    w: Float[Array, "n n L"]
    swaps: Bool[Array, "pairs L"]

    def solve(self, b: Float[Array, "n L"]) -> Float[Array, "n L"]:
        """Return A⁻¹ b."""
        n, w, x = b.shape[0], self.w, list(b)
        for number, (k, i) in enumerate(_pairs(n)):
            x[k], x[i] = _swapped(self.swaps[number], x[k], x[i])
            x[i] = x[i] - w[i, k] * x[k]
        for k in reversed(range(n)):
            for j in range(k + 1, n):
                x[k] = x[k] - w[k, j] * x[j]
            x[k] = x[k] / w[k, k]
        return jnp.stack(x)

    def solve_transposed(self, b: Float[Array, "n L"]) -> Float[Array, "n L"]:
        """Return A⁻ᵀ b: the operations of `solve`, each transposed, in reverse order."""
        n, w, x = b.shape[0], self.w, list(b)
        for k in range(n):
            for j in range(k):
                x[k] = x[k] - w[j, k] * x[j]
            x[k] = x[k] / w[k, k]
        for number, (k, i) in reversed(list(enumerate(_pairs(n)))):
            x[k] = x[k] - w[i, k] * x[i]
            x[k], x[i] = _swapped(self.swaps[number], x[k], x[i])
        return jnp.stack(x)


class LoopFactors(eqx.Module):
    """Factors found by a loop over the columns; in column k, row ``pivots[k]`` took the place of row k."""

    w: Float[Array, "n n L"]
    pivots: Int[Array, "n L"]

    def solve(self, b: Float[Array, "n L"]) -> Float[Array, "n L"]:
        """Return A⁻¹ b."""
        n, w = b.shape[0], self.w
        row = jnp.arange(n)[:, None]

        def forward(k, x):
            return x - jnp.where(row > k, w[:, k], 0) * x[k]

        def backward(step, x):
            k = n - 1 - step
            xk = x[k] / w[k, k]
            return jnp.where(row == k, xk, x - jnp.where(row < k, w[:, k], 0) * xk)

        x = jax.lax.fori_loop(0, n, lambda k, x: _exchange(row, x, k, self.pivots[k]), b)
        return jax.lax.fori_loop(0, n, backward, jax.lax.fori_loop(0, n, forward, x))

    def solve_transposed(self, b: Float[Array, "n L"]) -> Float[Array, "n L"]:
        """Return A⁻ᵀ b."""
        n, w = b.shape[0], self.w
        row = jnp.arange(n)[:, None]

        def forward(k, x):
            xk = x[k] / w[k, k]
            return jnp.where(row == k, xk, x - jnp.where(row > k, w[k], 0) * xk)

        def backward(step, x):
            k = n - 1 - step
            return x - jnp.where(row < k, w[k], 0) * x[k]

        def unswap(step, x):
            k = n - 1 - step
            return _exchange(row, x, k, self.pivots[k])

        x = jax.lax.fori_loop(0, n, backward, jax.lax.fori_loop(0, n, forward, b))
        return jax.lax.fori_loop(0, n, unswap, x)


def factorise(a: Float[Array, "n n L"]) -> SmallFactors | LoopFactors:
    """Return the factors of the matrices A of L members. A singular one gives Inf or NaN in its own member only."""
    return _factorise_small(a) if a.shape[0] <= UNROLLED else _factorise_loop(a)


def linear_solve_members(
    a: Float[Array, "n n L"], factors: SmallFactors | LoopFactors, b: Float[Array, "n L"]
) -> Float[Array, "n L"]:
    """Return A⁻¹ b by factors found before, differentiable in A and b; the factors themselves are not."""

    def product(x: Array) -> Array:
        return sum((a[:, j] * x[j] for j in range(1, a.shape[1])), a[:, 0] * x[0])

    return jax.lax.custom_linear_solve(
        product,
        b,
        solve=lambda _, rhs: factors.solve(rhs),
        transpose_solve=lambda _, rhs: factors.solve_transposed(rhs),
    )


def _pairs(n: int) -> list[tuple[int, int]]:
    return [(k, i) for k in range(n) for i in range(k + 1, n)]


def _swapped(where: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return jnp.where(where, b, a), jnp.where(where, a, b)


def _factorise_small(a: Array) -> SmallFactors:
    n = a.shape[0]
    w, swaps = [[a[i, j] for j in range(n)] for i in range(n)], []
    for k, i in _pairs(n):
        swap = jnp.abs(w[i][k]) > jnp.abs(w[k][k])
        swaps.append(swap)
        for j in range(k, n):
            w[k][j], w[i][j] = _swapped(swap, w[k][j], w[i][j])
        w[i][k] = w[i][k] / w[k][k]
        for j in range(k + 1, n):
            w[i][j] = w[i][j] - w[i][k] * w[k][j]
    none = jnp.zeros((0, a.shape[-1]), bool)
    return SmallFactors(jnp.stack([jnp.stack(row) for row in w]), jnp.stack(swaps) if swaps else none)


def _factorise_loop(a: Array) -> LoopFactors:
    n = a.shape[0]
    row = jnp.arange(n)[:, None]

    def column(k, carry):
        w, pivots = carry
        pivot = jnp.argmax(jnp.where(row >= k, jnp.abs(w[:, k]), -1.0), axis=0).astype(jnp.int32)
        w = _exchange(row[..., None], w, k, pivot)
        factor = jnp.where(row > k, w[:, k] / w[k, k], 0)
        right = jnp.where(row > k, w[k], 0)
        w = w - factor[:, None] * right[None]
        w = jnp.where((k == row.T)[..., None] & (row > k)[..., None], factor[:, None], w)
        return w, pivots.at[k].set(pivot)

    w, pivots = jax.lax.fori_loop(0, n, column, (a, jnp.zeros((n, a.shape[-1]), jnp.int32)))
    return LoopFactors(w, pivots)


def _exchange(row: Array, x: Array, k: Array, pivot: Array) -> Array:
    """Exchange entries k and ``pivot`` of the first axis, in each member its own."""
    chosen, top = row == pivot, x[k]
    low = jnp.sum(jnp.where(chosen, x, 0), axis=0)
    return jnp.where(row == k, low, jnp.where(chosen, top, x))
