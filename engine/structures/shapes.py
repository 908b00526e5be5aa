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

_XY = np.array([1, 5, 7, 11])
"""Bending in the x-y plane: v and the rotation about z at both ends."""
_XZ = np.array([2, 4, 8, 10])
"""Bending in the x-z plane: w and the rotation about y, which is minus the slope."""
_XZ_SIGNS = np.array([1.0, -1.0, 1.0, -1.0])


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
    matrix = jnp.zeros((6, 12), jnp.result_type(v, w))
    matrix = matrix.at[np.array([0, 3]), np.array([0, 3])].set(1 - xi)
    matrix = matrix.at[np.array([0, 3]), np.array([6, 9])].set(xi)
    matrix = matrix.at[1, _XY].set(v).at[5, _XY].set(turn_z)
    return matrix.at[2, _XZ].set(w * _XZ_SIGNS).at[4, _XZ].set(-turn_y * _XZ_SIGNS)


def slopes(xi: Any, phi_y: Any, phi_z: Any, length: Any) -> Float[Array, "3 12"]:
    r"""$v'$, $w'$ and the twist $\theta_x'$ at $\xi$ from the twelve local motions of the ends."""
    _, v, _ = bending(xi, phi_y, length)
    _, w, _ = bending(xi, phi_z, length)
    matrix = jnp.zeros((3, 12), jnp.result_type(v, w)).at[0, _XY].set(v).at[1, _XZ].set(w * _XZ_SIGNS)
    return matrix.at[2, 3].set(-1 / length).at[2, 9].set(1 / length)


def bar_motions(xi: Any) -> Float[Array, "6 12"]:
    """The linear motions of a bar, which carries no rotations."""
    three = jnp.eye(6)[:, :3]
    return jnp.concatenate([(1 - xi) * three, jnp.zeros((6, 3)), xi * three, jnp.zeros((6, 3))], axis=1)
