r"""Jacobians of residuals by the cheaper mode, and Gauss-Newton in the smaller of two spaces.

A residual of data and of a prior, $r(z) = [d(z);\ w(z)]$, has $m$ rows whose derivative $A$ costs runs of a model, and
rows of the prior whose derivative $W$ costs nothing. $A$ takes $p$ tangents or $m$ adjoints. Where $W$ is square, the
damped step

$$ \delta = -(A^\top A + W^\top W + \mu D^2)^{-1} (A^\top d + W^\top w) $$

needs a system of the size of the data only. With $L = W^{-1}$, $K K^\top = I + \mu L^\top D^2 L$, $B = A L K^{-\top}$
and $v = K^{-1} w$ it is

$$ \delta = L K^{-\top} \left( -v + B^\top (B B^\top + I)^{-1} (B v - d) \right). $$

Source: Tarantola, *Inverse Problem Theory*, 2005, section 3.2; the matrix $B B^\top + I$ as $R^\top R$ from a QR
decomposition of $[B^\top; I]$ loses no digits: Paige, SIAM J. Numer. Anal. 10, 1973.
"""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Residual = Callable[[Array, Any], Array]

Mode = Literal["cheapest", "forward", "reverse"]

ADJOINT = 1.5
"""What an adjoint costs in tangents, both in batches by ``vmap``.

Measured in batches of 8 to 128 on two cores that others used too, medians of five calls: 1.1 to 2.0, mostly 1.5, for
an ODE with a network in it; for finite-element transients 1.3 to 1.7 where they are nonlinear, 1.2 where the parameters
are in a conductivity, 1.3 to 2.0 where they are a field of sources.
"""


def _either(args: Any) -> Mode:
    return "cheapest"


class Regularised(eqx.Module):
    """A residual in two parts: of data, and of a prior that is affine in the unknowns.

    Call it as one residual; `LevenbergMarquardt` takes the derivative of the second part for granted.

    Args:
        data: ``data(z, args)``, the rows that are expensive.
        prior: ``prior(z, args)``, rows whose derivative by ``z`` is the same everywhere and costs next to nothing.
        proper: whether the prior alone determines the unknowns: as many rows as unknowns, their derivative lower
            triangular and regular.
        mode: ``mode(args)``, in which mode the data can be differentiated; "cheapest" where in both.
    """

    data: Residual = eqx.field(static=True)
    prior: Residual = eqx.field(static=True)
    proper: bool = eqx.field(static=True, default=False)
    mode: Callable[[Any], Mode] = eqx.field(static=True, default=_either)

    def __call__(self, z: Float[Array, " p"], args: Any) -> Float[Array, " m"]:
        """All rows, the prior's last."""
        return jnp.concatenate([self.data(z, args), self.prior(z, args)])


@eqx.filter_jit
def linearise(mode: Mode, fn: Residual, z: Float[Array, " p"], args: Any) -> tuple[Array, Array]:
    r"""The residual ``(m,)`` and its Jacobian ``(m, p)``: the one function of a fit that is expensive to compile.

    Args:
        mode: "forward", $p$ tangents; "reverse", an adjoint for each row of the data; "cheapest", what costs less where
            an adjoint costs `ADJOINT` tangents.
        fn: ``fn(z, args)``, the residual; a `Regularised` may know that its data allow one mode only.
        z: where.
        args: of the residual.
    """
    if not isinstance(fn, Regularised):
        return _derivative(mode, fn, z, args)
    mode = fn.mode(args) if mode == "cheapest" else mode
    data, slope = _derivative(mode, fn.data, z, args)
    prior, constant = _derivative("forward", fn.prior, z, args)
    return jnp.concatenate([data, prior]), jnp.concatenate([slope, constant])


def _derivative(mode: Mode, fn: Residual, z: Array, args: Any) -> tuple[Array, Array]:
    def at(x: Array) -> Array:
        return fn(x, args)

    def tangent(direction: Array) -> tuple[Array, Array]:
        return jax.jvp(at, (z,), (direction,))

    # Rows are counted only where there may be so few of them that adjoints are worth it: it takes a trace of the model.
    few = mode == "cheapest" and len(z) > ADJOINT and ADJOINT * len(jax.eval_shape(at, z)) < len(z)
    if mode == "reverse" or few:
        residual, pull = jax.vjp(at, z)
        return residual, jax.vmap(pull)(jnp.eye(len(residual), dtype=residual.dtype))[0]
    return jax.vmap(tangent, out_axes=(None, 1))(jnp.eye(len(z), dtype=z.dtype))


def data_rows(fn: Residual, jacobian: Float[Array, "m p"]) -> int | None:
    """How many rows of a Jacobian are of data, where those are fewer than the unknowns and the prior is proper: where
    `step_by_data` applies. None elsewhere.
    """
    total, unknowns = jacobian.shape
    if isinstance(fn, Regularised) and fn.proper and total < 2 * unknowns:
        return total - unknowns
    return None


def whitened(jacobian: Float[Array, "m p"], rows: int) -> tuple[Float[Array, "d p"], Float[Array, "p p"]]:
    """$A L$ and $L = W^{-1}$, of a Jacobian whose first ``rows`` are of data."""
    data, prior = jacobian[:rows], jacobian[rows:]
    factor = jax.scipy.linalg.solve_triangular(prior, jnp.eye(len(prior), dtype=prior.dtype), lower=True)
    return data @ factor, factor


def step_by_data(
    residual: Float[Array, " m"], jacobian: Float[Array, "m p"], rows: int, damping: Float[Array, " p"] | None = None
) -> Float[Array, " p"]:
    r"""The Gauss-Newton step in the space of the data, damped by the diagonal $\mu D^2$ where it is given."""
    solve = jax.scipy.linalg.solve_triangular
    b, factor = whitened(jacobian, rows)
    v, root = residual[rows:], None
    if damping is not None:
        root = jnp.linalg.cholesky(jnp.eye(len(v), dtype=v.dtype) + factor.T @ (damping[:, None] * factor))
        b, v = solve(root, b.T, lower=True).T, solve(root, v, lower=True)
    r = jnp.linalg.qr(jnp.concatenate([b.T, jnp.eye(rows, dtype=b.dtype)]), mode="r")
    white = -v + b.T @ solve(r, solve(r, b @ v - residual[:rows], trans="T"))
    return factor @ (white if root is None else solve(root, white, lower=True, trans="T"))
