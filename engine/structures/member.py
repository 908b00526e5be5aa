r"""One straight, uniform member between two nodes: its matrices, in local and in global axes.

Local motions are $(u, v, w, \theta_x, \theta_y, \theta_z)$ at the first end, then at the second. Source:
Przemieniecki, *Theory of Matrix Structural Analysis*, 1968, chapters 5 (stiffness), 11 (mass) and 15 (buckling).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.structures.axes import end_points, local_axes, transformation
from gemel.engine.structures.sections import SectionConstants
from gemel.engine.structures.shapes import GAUSS, bar_motions, motions, slopes

THEORIES = ("Timoshenko", "Euler-Bernoulli", "truss")


class Member(eqx.Module):
    r"""The numbers of one member.

    Args:
        section: constants of its section; a truss uses the area alone.
        youngs_modulus: $E$ in Pa.
        shear_modulus: $G$ in Pa.
        orientation: ``(3,)``, the direction that the local $z$ axis leans to; see `local_axes`.
        density: $\rho$ in kg/m³.
        offsets: ``(2, 3)`` in m, from the nodes to the ends in global axes, rigid; None for none.
        released: ``(12,)`` booleans, the local motions of the ends that transmit no force (hinges); None for none.
        theory: "Timoshenko" (with shear deformation), "Euler-Bernoulli" (without) or "truss" (axial force alone).

    Raises:
        ValueError: for another theory.
    """

    section: SectionConstants
    youngs_modulus: Any
    shear_modulus: Any
    orientation: Any
    density: Any = 0.0
    offsets: Any = None
    released: Any = None
    theory: str = eqx.field(static=True, default="Timoshenko")

    def __check_init__(self) -> None:
        if self.theory not in THEORIES:
            raise ValueError(f"The theory of a member is one of {', '.join(THEORIES)}, not '{self.theory}'.")

    def geometry(self, corners: Float[Array, "2 3"]) -> tuple[Float[Array, "3 3"], Float[Array, ""]]:
        """The local axes as rows and the length, m."""
        return local_axes(end_points(corners, self.offsets), jnp.asarray(self.orientation))

    def shear_parameters(self, length: Any) -> tuple[Any, Any]:
        r"""$\Phi_y = 12 E I_z/(G A_y L^2)$ and $\Phi_z = 12 E I_y/(G A_z L^2)$; zero without shear deformation."""
        if self.theory != "Timoshenko":
            return jnp.zeros(()), jnp.zeros(())
        factor = 12 * self.youngs_modulus / (self.shear_modulus * length**2)
        section = self.section
        return factor * section.inertia_z * section.flexibility_y, factor * section.inertia_y * section.flexibility_z

    def interpolation(self, xi: Any, length: Any) -> Float[Array, "6 12"]:
        r"""The motions of the section at $\xi = x/L$ from the local motions of the ends."""
        return bar_motions(xi) if self.theory == "truss" else motions(xi, *self.shear_parameters(length), length)


# Local matrices, before releases.


def local_stiffness(member: Member, length: Any) -> Float[Array, "12 12"]:
    r"""The exact stiffness: $EA/L$, $GJ/L$, and in each plane of bending

    $$ \frac{EI}{(1+\Phi)L^3}\begin{pmatrix} 12 & 6L & -12 & 6L \\ & (4+\Phi)L^2 & -6L & (2-\Phi)L^2 \\
       & & 12 & -6L \\ & & & (4+\Phi)L^2 \end{pmatrix}. $$
    """
    section, modulus = member.section, member.youngs_modulus
    factors = [modulus * section.area / length, member.shear_modulus * section.torsion / length]
    phi_y, phi_z = member.shear_parameters(length)
    for inertia, phi in ((section.inertia_z, phi_y), (section.inertia_y, phi_z)):
        bent = modulus * inertia / ((1 + phi) * length**3)
        factors += [12 * bent, 6 * length * bent, (4 + phi) * length**2 * bent, (2 - phi) * length**2 * bent]
    factors = factors[:1] if member.theory == "truss" else factors
    stacked = jnp.stack([jnp.asarray(factor, float) for factor in factors])
    return jnp.tensordot(stacked, STIFFNESS_PATTERNS[: len(factors)], 1)


def _patterns() -> np.ndarray:
    """The matrices ``(10, 12, 12)`` that stand behind EA/L, GJ/L, and 12, 6L, (4 + Φ)L², (2 - Φ)L² in each plane."""
    pair = [[1, -1], [-1, 1]]
    bending = [
        [[1, 0, -1, 0], [0, 0, 0, 0], [-1, 0, 1, 0], [0, 0, 0, 0]],
        [[0, 1, 0, 1], [1, 0, -1, 0], [0, -1, 0, -1], [1, 0, -1, 0]],
        [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]],
        [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]],
    ]
    found = np.zeros((10, 12, 12))
    found[0][np.ix_([0, 6], [0, 6])] = pair
    found[1][np.ix_([3, 9], [3, 9])] = pair
    turn = np.outer([1, -1, 1, -1], [1, -1, 1, -1])  # the rotation about y is minus the slope of w
    for k, pattern in enumerate(bending):
        found[2 + k][np.ix_([1, 5, 7, 11], [1, 5, 7, 11])] = pattern
        found[6 + k][np.ix_([2, 4, 8, 10], [2, 4, 8, 10])] = np.array(pattern) * turn
    return found


STIFFNESS_PATTERNS = _patterns()


def local_mass(member: Member, length: Any) -> Float[Array, "12 12"]:
    r"""The consistent mass, $\int S^\top\,\mathrm{diag}(A, A, A, I_y + I_z, I_y, I_z)\,\rho\, S\,dx$.

    $S$ is what `Member.interpolation` gives; a truss has no rotary inertia. Frequencies converge as $L^4$ where
    $\Phi$ is small and as $L^2$ where members are shorter than a few depths.
    """
    section = member.section
    parts = (section.area,) * 3 + (section.polar, section.inertia_y, section.inertia_z)
    weights = member.density * jnp.stack(jnp.broadcast_arrays(*map(jnp.asarray, parts)))

    def at(xi: Any, weight: Any) -> Array:
        shapes = member.interpolation(xi, length)
        return weight * length * shapes.T @ (weights[:, None] * shapes)

    return jnp.sum(jax.vmap(at)(*map(jnp.asarray, GAUSS)), axis=0)


def lumped_mass(member: Member, length: Any) -> Float[Array, " 12"]:
    r"""The diagonal of a lumped mass, the same in all axes: $\rho A L/2$ and, for beams, $\rho (I_y + I_z) L/2$.

    The rotary part takes the polar moment about every axis, so that the matrix is diagonal in any axes. Offsets and
    releases do not enter.
    """
    half = member.density * length / 2
    turning = 0.0 if member.theory == "truss" else member.section.polar
    end = jnp.concatenate([jnp.full(3, member.section.area), jnp.full(3, turning)])
    return half * jnp.tile(end, 2)


def local_geometric_stiffness(member: Member, length: Any, axial: Any) -> Float[Array, "12 12"]:
    r"""What an axial force $N$ (tension positive) adds: $N \int v'^2 + w'^2 + \tfrac{I_y + I_z}{A}\theta_x'^2\,dx$.

    The last part is Wagner's, for sections symmetric about both axes. Linearised in the displacements.
    """
    if member.theory == "truss":
        block = jnp.diag(jnp.array([0.0, 1.0, 1.0, 0.0, 0.0, 0.0]))
        return axial / length * jnp.kron(jnp.array([[1.0, -1.0], [-1.0, 1.0]]), block)
    radius = member.section.polar / member.section.area
    weights = jnp.stack(jnp.broadcast_arrays(1.0, 1.0, radius))

    def at(xi: Any, weight: Any) -> Array:
        shapes = slopes(xi, *member.shear_parameters(length), length)
        return weight * length * shapes.T @ (weights[:, None] * shapes)

    return axial * jnp.sum(jax.vmap(at)(*map(jnp.asarray, GAUSS)), axis=0)


# End releases.


def condensation(matrix: Float[Array, "12 12"], released: Any) -> Float[Array, "12 12"]:
    r"""The matrix $C$ with $u_{end} = C u$ where released motions follow so that their forces vanish.

    $C = I$ on the motions that are kept and $-K_{rr}^{-1}K_{rk}$ on the released; the condensed stiffness, mass and
    loads are $C^\top K C$, $C^\top M C$ and $C^\top f$. Source: Guyan, *Reduction of stiffness and mass matrices*,
    AIAA J. 3, 1965.
    """
    free = jnp.asarray(released)
    kept = jnp.diag(jnp.where(free, 0.0, 1.0))
    return kept - released_flexibility(matrix, free) @ matrix @ kept


def released_flexibility(matrix: Float[Array, "12 12"], released: Any) -> Float[Array, "12 12"]:
    r"""$K_{rr}^{-1}$ on the released motions, zero elsewhere: their own motion under forces on them."""
    free = jnp.asarray(released)
    both = free[:, None] & free[None, :]
    system = jnp.where(both, matrix, jnp.eye(12))
    scale = jnp.sqrt(jnp.diagonal(system))  # forces and moments have other units: balance the factorisation
    inverse = jnp.linalg.inv(system / jnp.outer(scale, scale)) / jnp.outer(scale, scale)
    return jnp.where(both, inverse, 0.0)


# In global axes at the nodes.


def reduction(member: Member, axes: Float[Array, "3 3"], length: Any) -> Float[Array, "12 12"]:
    """The matrix from the nodes' global to the ends' local motions, releases condensed."""
    turn = transformation(axes, member.offsets)
    return turn if member.released is None else condensation(local_stiffness(member, length), member.released) @ turn


def stiffness(member: Member, corners: Float[Array, "2 3"]) -> Float[Array, "12 12"]:
    """The stiffness for the motions of the nodes, N/m, N, N·m."""
    axes, length = member.geometry(corners)
    return _congruent(local_stiffness(member, length), reduction(member, axes, length))


def mass(member: Member, corners: Float[Array, "2 3"]) -> Float[Array, "12 12"]:
    """The consistent mass for the motions of the nodes, kg, kg·m, kg·m²."""
    axes, length = member.geometry(corners)
    return _congruent(local_mass(member, length), reduction(member, axes, length))


def geometric_stiffness(member: Member, corners: Float[Array, "2 3"], axial: Any) -> Float[Array, "12 12"]:
    """The geometric stiffness under the axial force ``axial`` (N, tension positive) for the motions of the nodes."""
    axes, length = member.geometry(corners)
    return _congruent(local_geometric_stiffness(member, length, axial), reduction(member, axes, length))


def _congruent(matrix: Array, change: Array) -> Array:
    return change.T @ matrix @ change
