r"""Displacements along a member from the motions of its ends.

A uniform member without loads between its ends bends as a cubic $v$, with the rotation of the section
$\theta = v' - \gamma$ a parabola and $\gamma$ constant. With $\xi = x/L$ and the shear parameter
$\Phi = 12 EI/(G A_s L^2)$ this determines both from $v_1, \theta_1, v_2, \theta_2$; $\Phi = 0$ is Euler-Bernoulli's
member. Fields so interpolated lock nowhere, and make stiffness and loads exact.

Sources: Przemieniecki, *Theory of Matrix Structural Analysis*, 1968, chapter 5; Friedman and Kosmatka, *An improved
two-node Timoshenko beam finite element*, Computers & Structures 47, 1993.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(4)
GAUSS = (0.5 * (1 + _POINTS), 0.5 * _WEIGHTS)
"""Points and weights on (0, 1), exact to degree 7: products of cubics and less."""

_XY = [1, 5, 7, 11]
"""Bending in the x-y plane: v and the rotation about z at both ends."""
_XZ = [2, 4, 8, 10]
"""Bending in the x-z plane: w and the rotation about y, which is minus the slope."""
_XZ_SIGNS = [1.0, -1.0, 1.0, -1.0]


def _placed(n_rows: int, *entries: tuple[int, int, float]) -> np.ndarray:
    """For each (row, column, sign) the matrix ``(n_rows, 12)`` with that one entry."""
    table = np.zeros((len(entries), n_rows, 12))
    for k, (row, column, sign) in enumerate(entries):
        table[k, row, column] = sign
    return table


_MOTIONS = _placed(
    6,
    *[(row, row, 1.0) for row in (0, 3)],
    *[(row, 6 + row, 1.0) for row in (0, 3)],
    *[(1, place, 1.0) for place in _XY],
    *[(5, place, 1.0) for place in _XY],
    *[(2, place, sign) for place, sign in zip(_XZ, _XZ_SIGNS, strict=True)],
    *[(4, place, -sign) for place, sign in zip(_XZ, _XZ_SIGNS, strict=True)],
)
_SLOPES = _placed(
    3,
    *[(0, place, 1.0) for place in _XY],
    *[(1, place, sign) for place, sign in zip(_XZ, _XZ_SIGNS, strict=True)],
    (2, 3, -1.0),
    (2, 9, 1.0),
)


def bending(xi: Any, phi: Any, length: Any) -> tuple[Float[Array, " 4"], Float[Array, " 4"], Float[Array, " 4"]]:
    r"""$v$, $v'$ and $\theta$ at $\xi$ for unit values of $v_1, \theta_1, v_2, \theta_2$."""
    v = [
        1 - 3 * xi**2 + 2 * xi**3 + phi * (1 - xi),
        length * (xi - 2 * xi**2 + xi**3 + phi * (xi - xi**2) / 2),
        3 * xi**2 - 2 * xi**3 + phi * xi,
        length * (xi**3 - xi**2 + phi * (xi**2 - xi) / 2),
    ]
    slope = [
        (6 * xi**2 - 6 * xi - phi) / length,
        1 - 4 * xi + 3 * xi**2 + phi * (0.5 - xi),
        (6 * xi - 6 * xi**2 + phi) / length,
        3 * xi**2 - 2 * xi + phi * (xi - 0.5),
    ]
    rotation = [
        6 * (xi**2 - xi) / length,
        1 - 4 * xi + 3 * xi**2 + phi * (1 - xi),
        6 * (xi - xi**2) / length,
        3 * xi**2 - 2 * xi + phi * xi,
    ]
    found = [jnp.stack(jnp.broadcast_arrays(*part)) / (1 + phi) for part in (v, slope, rotation)]
    return found[0], found[1], found[2]


def motions(xi: Any, phi_y: Any, phi_z: Any, length: Any) -> Float[Array, "6 12"]:
    r"""$u, v, w, \theta_x, \theta_y, \theta_z$ at $\xi$ from the twelve local motions of the ends.

    ``phi_y`` is the shear parameter of forces along $y$ (bending in the $x$-$y$ plane), ``phi_z`` of those along $z$.
    """
    v, _, turn_z = bending(xi, phi_y, length)
    w, _, turn_y = bending(xi, phi_z, length)
    linear = jnp.stack([1 - xi, 1 - xi, xi, xi])
    return jnp.tensordot(jnp.concatenate([linear, v, turn_z, w, turn_y]), _MOTIONS, 1)


def slopes(xi: Any, phi_y: Any, phi_z: Any, length: Any) -> Float[Array, "3 12"]:
    r"""$v'$, $w'$ and the twist $\theta_x'$ at $\xi$ from the twelve local motions of the ends."""
    _, v, _ = bending(xi, phi_y, length)
    _, w, _ = bending(xi, phi_z, length)
    return jnp.tensordot(jnp.concatenate([v, w, jnp.full(2, 1 / length)]), _SLOPES, 1)


def bar_motions(xi: Any) -> Float[Array, "6 12"]:
    """The linear motions of a bar, which carries no rotations."""
    three = jnp.eye(6)[:, :3]
    return jnp.concatenate([(1 - xi) * three, jnp.zeros((6, 3)), xi * three, jnp.zeros((6, 3))], axis=1)
