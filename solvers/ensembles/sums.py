"""Sums over a short first axis, written out: the form that compilers turn into one loop over the members."""

from functools import reduce

from jaxtyping import Array, Float


def combine(weights: Float[Array, "s *L"], vectors: Float[Array, "s n L"]) -> Float[Array, "n L"]:
    """Return Σᵢ wᵢ vᵢ; the weights are numbers or have one value a member."""
    return reduce(lambda total, term: total + term, [weights[i] * vectors[i] for i in range(vectors.shape[0])])
