"""Sums over a short first axis, in the forms that compilers turn into one loop over the members, both ways."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float


@jax.custom_jvp
def combine(weights: Float[Array, "s *L"], vectors: Float[Array, "s n L"]) -> Float[Array, "n L"]:
    """Return Σᵢ wᵢ vᵢ; the weights are numbers or have one value a member.

    Written out term by term. The tangent is one product instead: its transpose is an outer product, while the transpose
    of the terms would pad each to the full stack and take twice the time of a whole reverse step.
    """
    return reduce(lambda total, term: total + term, [weights[i] * vectors[i] for i in range(vectors.shape[0])])


def _tangent(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    weights, vectors = primals
    change = jnp.zeros(vectors.shape[1:], vectors.dtype)
    for w, v, moves in ((weights, tangents[1], tangents[1]), (tangents[0], vectors, tangents[0])):
        if not isinstance(moves, SymbolicZero):
            change = change + (jnp.tensordot(w, v, axes=1) if w.ndim == 1 else jnp.sum(w[:, None] * v, axis=0))
    return combine(weights, vectors), change


combine.defjvp(_tangent, symbolic_zeros=True)
