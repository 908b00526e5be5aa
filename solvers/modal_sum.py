"""Sums over eigenpairs in which each vector meets a function of its own eigenvalue."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.eigen import Pairs, groups_of
from gemel.solvers.implicit import stop_gradient
from gemel.solvers.operators import LinearOperator


def modal_sum(
    function: Callable[[Float[Array, ""]], Float[Array, ""]],
    pairs: Pairs,
    stiffness: LinearOperator,
    mass: LinearOperator,
    b: Float[Array, " n"],
) -> Float[Array, " n"]:
    r"""Return $\sum_i f(\lambda_i)\,\varphi_i \varphi_i^\top b$, with its derivative where eigenvalues repeat too.

    With f = 1/λ it is the modal flexibility times a load, the static response of the modes. Derivatives of the pairs of
    `eigen_solve` lack what is off the diagonal of $H = \Phi^\top (dK - \lambda\,dM) \Phi$ over the vectors of one
    repeated eigenvalue. It is added here, with a value of zero: a group contributes $\Phi\,(f'(\lambda) H)\,\Phi^\top$,
    as the divided difference of f is $f'(\lambda)$ there.

    Args:
        function: f of one eigenvalue, a scalar function that JAX differentiates.
        pairs: what `eigen_solve` gives for the operators; every repeated eigenvalue with all its vectors.
        stiffness, mass: the same operators.
        b: ``(n,)``.

    First derivatives, forward and reverse; second ones are NaN where eigenvalues repeat.

    Source: Daleckii, Krein, *Integration and differentiation of functions of Hermitian operators*, AMS Transl. 47
    (1965); Higham, *Functions of Matrices*, SIAM (2008), section 3.2.
    """
    values, vectors = pairs
    fixed, shapes = stop_gradient(pairs)
    stiff = shapes.T @ jax.vmap(stiffness.mv, 1, 1)(shapes)
    inert = shapes.T @ jax.vmap(mass.mv, 1, 1)(shapes)
    rates = stiff - fixed * inert
    slopes = groups_of(fixed) * (1 - jnp.eye(len(fixed), dtype=fixed.dtype)) * jax.vmap(jax.grad(function))(fixed)
    turned = shapes @ ((slopes * (rates - stop_gradient(rates))) @ (shapes.T @ b))
    return vectors @ (jax.vmap(function)(values) * (vectors.T @ b)) + turned
