r"""Powers of symmetric positive definite matrices, with derivatives of every order at repeated eigenvalues.

Differentiating an eigendecomposition divides by differences of eigenvalues and gives NaN where two are equal, as in
the reference state of every material. Here the derivatives are written in divided differences of $x^s$, which are
smooth: with $A = V \Lambda V^\top$,

$$ D^k A^s [E_1, \dots, E_k] = V \Big( \sum_{\pi} \sum_{i_0 \dots i_k} [\lambda_{i_0}, \dots, \lambda_{i_k}]\,
   (V^\top E_{\pi_1} V)_{i_0 i_1} \cdots (V^\top E_{\pi_k} V)_{i_{k-1} i_k} \Big) V^\top $$

Source: Daleckii, Krein (1965) for the first derivative; Higham, *Functions of Matrices*, 2008, sections 3.2 and B.16.
"""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

_NEAR = 0.02
"""Relative spread of three or more nodes below which a divided difference is summed as a series."""

_TERMS = 8
"""Terms of that series: its remainder is below 1e-13 relative for exponents of usual size."""


@jax.custom_jvp
def trace_power(a: Float[Array, "n n"], exponent: Float[Array, ""]) -> Float[Array, ""]:
    r"""$\mathrm{tr}\, A^s = \sum_i \lambda_i^s$ of a symmetric positive definite matrix; NaN for another."""
    return jnp.sum(jnp.linalg.eigvalsh(a) ** exponent)


def _trace_power_jvp(primals: Any, tangents: Any) -> Any:
    (a, s), (da, ds) = primals, tangents
    out = trace_power(a, s)
    change = jnp.zeros_like(out)
    if not isinstance(da, SymbolicZero):
        change = change + s * jnp.sum(matrix_power(a, s - 1) * da)
    if not isinstance(ds, SymbolicZero):
        change = change + jnp.trace(_derivative(0, 1, a, s)) * ds
    return out, change


trace_power.defjvp(_trace_power_jvp, symbolic_zeros=True)


def matrix_power(a: Float[Array, "n n"], exponent: Float[Array, ""]) -> Float[Array, "n n"]:
    r"""$A^s$ of a symmetric positive definite matrix."""
    return _derivative(0, 0, a, exponent)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _derivative(order: int, log_order: int, a: Array, exponent: Array) -> Array:
    r"""$D^k A^s$ as a tensor with a pair of axes for the value and one for each of the $k$ = ``order`` directions,
    differentiated ``log_order`` times by $s$.
    """
    values, vectors = jnp.linalg.eigh(a)
    table = _table(order, log_order, values, exponent)
    ends = jnp.einsum("pi,qj->piqj", vectors, vectors)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    inner = [next(letters) for _ in range(order + 1)]
    pairs = [(next(letters), next(letters)) for _ in range(order + 1)]
    total = jnp.zeros((len(a),) * (2 * order + 2), a.dtype)
    for chosen in itertools.permutations(pairs[1:]):
        factors = [f"{r}{inner[k]}{s}{inner[k + 1]}" for k, (r, s) in enumerate(chosen)]
        first = f"{pairs[0][0]}{inner[0]}{pairs[0][1]}{inner[-1]}"
        out = "".join(r + s for r, s in pairs)
        operands = [table, ends, *(ends for _ in factors)]
        total = total + jnp.einsum(f"{''.join(inner)},{','.join([first, *factors])}->{out}", *operands)
    return total


def _derivative_jvp(order: int, log_order: int, primals: Any, tangents: Any) -> Any:
    (a, s), (da, ds) = primals, tangents
    out = _derivative(order, log_order, a, s)
    change = jnp.zeros_like(out)
    if not isinstance(da, SymbolicZero):
        change = change + jnp.tensordot(_derivative(order + 1, log_order, a, s), da, axes=2)
    if not isinstance(ds, SymbolicZero):
        change = change + _derivative(order, log_order + 1, a, s) * ds
    return out, change


_derivative.defjvp(_derivative_jvp, symbolic_zeros=True)


def _table(order: int, log_order: int, values: Array, exponent: Array) -> Array:
    """Divided differences of x^s at all choices of ``order + 1`` eigenvalues, differentiated by s."""
    grids = jnp.meshgrid(*[values] * (order + 1), indexing="ij")
    nodes = jnp.sort(jnp.stack(grids, axis=-1), axis=-1)

    def at(s: Array, times: int) -> Array:
        if times == 0:
            return _divided(nodes, s)
        return jax.jvp(lambda t: at(t, times - 1), (s,), (jnp.ones_like(s),))[1]

    return at(exponent, log_order)


def _divided(x: Array, s: Array) -> Array:
    """The divided difference of x^s at the sorted nodes ``x (..., k + 1)``."""
    if x.shape[-1] == 1:
        return x[..., 0] ** s
    if x.shape[-1] == 2:
        # x^s - y^s = y^s (exp(s log(x / y)) - 1) keeps its digits however close x and y are.
        y, ratio = x[..., 0], x[..., 1] / x[..., 0] - 1
        apart = ratio > 0
        ratio = jnp.where(apart, ratio, 1.0)
        return y ** (s - 1) * jnp.where(apart, jnp.expm1(s * jnp.log1p(ratio)) / ratio, s)
    spread, centre = x[..., -1] - x[..., 0], jnp.mean(x, axis=-1)
    near = spread < _NEAR * centre
    apart = (_divided(x[..., 1:], s) - _divided(x[..., :-1], s)) / jnp.where(near, 1.0, spread)
    deviation = jnp.where(near[..., None], x / centre[..., None] - 1, 0.0)
    return jnp.where(near, _series(deviation, centre, s), apart)


def _series(d: Array, centre: Array, s: Array) -> Array:
    r"""$c^{s-k} \sum_n \binom{s}{k+n} h_n(d)$, $h_n$ the complete homogeneous polynomials of ``d (..., k + 1)``."""
    k = d.shape[-1] - 1
    homogeneous = [jnp.ones_like(centre)] + [jnp.zeros_like(centre)] * (_TERMS - 1)
    for j in range(k + 1):
        for n in range(1, _TERMS):
            homogeneous[n] = homogeneous[n] + d[..., j] * homogeneous[n - 1]
    binomial = jnp.ones_like(s)
    total = jnp.zeros_like(centre)
    for m in range(k + _TERMS):
        if m >= k:
            total = total + binomial * homogeneous[m - k]
        binomial = binomial * (s - m) / (m + 1)
    return centre ** (s - k) * total
