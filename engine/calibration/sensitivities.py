"""Jacobians by the parameters that can be differentiated in turn, also through time loops."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float


@eqx.filter_custom_jvp
def jacobian_of(function: Callable[[Array], Array], z: Float[Array, " p"]) -> Float[Array, "*readings p"]:
    r"""Return $J = \partial f / \partial z$, differentiable in z and in the floating-point leaves g of the function.

    Reverse mode over the forward mode that makes J fails in a time loop; forward mode over reverse does not. So a
    cotangent $\bar J$ is pulled back in the other order,
    $\bar g = \sum_a \partial_{z_a} (\partial f / \partial g)^\top \bar J_a$, with $\bar J_a$ a column: for each
    parameter the derivative along it of one gradient, whatever the size of g. First derivatives of J only.
    """
    return jax.jacfwd(function)(z)


@jacobian_of.def_jvp
def _jacobian_jvp(primals, tangents):
    jacobian = jacobian_of(*primals)
    known = eqx.filter(tangents, eqx.is_array)
    moved, fixed = eqx.partition(primals, jax.tree.map(eqx.is_array, tangents, is_leaf=lambda leaf: leaf is None))
    if not jax.tree.leaves(known):
        return jacobian, jnp.zeros_like(jacobian)

    flat, unflatten = ravel_pytree(known)
    count = len(flat)

    def forward(_, table):
        change = unflatten(table[:count])
        rate = jax.jvp(lambda moved: _plain(eqx.combine(moved, fixed)), (moved,), (change,))[1]
        return table.at[count:].add(jnp.ravel(rate))

    def backward(_, table):
        columns = table[count:].reshape(jacobian.shape)

        def along(pair):
            direction, column = pair

            def gradient(step):
                return jax.vjp(lambda moved: _stepped(eqx.combine(moved, fixed), step), moved)[1](column)[0]

            return jax.jvp(gradient, (jnp.zeros_like(direction),), (direction,))[1]

        directions = jnp.eye(columns.shape[-1], dtype=columns.dtype)
        each = jax.lax.map(along, (directions, jnp.moveaxis(columns, -1, 0)))
        return table.at[:count].add(ravel_pytree(jax.tree.map(lambda sums: jnp.sum(sums, axis=0), each))[0])

    # A system with a unit diagonal, solved by substitution, says to JAX how the rate of J is linear in both directions;
    # the change and the rate are one table to it, as all that it is given must change.
    start = jnp.concatenate([flat, jnp.zeros(jacobian.size, flat.dtype)])
    end = jax.lax.custom_linear_solve(lambda x: _once(x, moved), start, forward, backward, symmetric=True)
    return jacobian, end[count:].reshape(jacobian.shape)


def _plain(primals):
    function, z = primals
    return jax.jacfwd(function)(z)


def _stepped(primals, step):
    function, z = primals
    return function(z + step)


@jax.custom_jvp
def _once(x, moved):
    return x


@_once.defjvp
def _once_jvp(primals, tangents):
    raise ValueError("The information that readings bring has first derivatives only: it is not differentiated twice.")
