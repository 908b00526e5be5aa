"""Rigid-body motions: the right number of them, without energy, for every solid element."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from gemel.engine import Elasticity, FunctionSpace
from gemel.engine.verification.case import Case, Check, absolute, case, count
from gemel.engine.verification.cases.patch import ELEMENTS
from gemel.engine.verification.tools import PLANE_CELLS, mapped, slug, spoken, unit_mesh
from gemel.meshes import Mesh
from gemel.solvers import dense_matrix

GROUP = "rigid"


def _few_cells(cell: str) -> Mesh:
    """One lattice cell, two a side where cells are mixed, so distorted that no face is parallel to another."""
    lattice = unit_mesh(cell, 2 if "+" in cell else 1)
    shear = np.array([[1.0, 0.2, 0.1], [0.0, 0.8, 0.3], [0.1, 0.0, 1.2]])[: lattice.dim, : lattice.dim]
    return mapped(lattice, lambda x: (x + 0.15 * np.prod(x, axis=1, keepdims=True)) @ shear)


def stiffness_spectrum(space: FunctionSpace, kinematics: str) -> tuple[np.ndarray, np.ndarray]:
    """The stiffness matrix of a free body and its eigenvalues over the largest, in ascending order."""
    problem = Elasticity(space, 1.0, 0.3, kinematics=kinematics).problem
    matrix = np.asarray(dense_matrix(problem.tangent(jnp.zeros(space.n_dofs))))
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    return matrix, values / values[-1]


def motions(x: np.ndarray) -> np.ndarray:
    """Translations and rotations of points (n, dim), as columns of unit length."""
    dim = x.shape[1]
    translations = [np.tile(row, (len(x), 1)) for row in np.eye(dim)]
    turns = [(0, 1)] if dim == 2 else [(0, 1), (1, 2), (2, 0)]
    rotations = []
    for i, j in turns:
        motion = np.zeros_like(x)
        motion[:, i], motion[:, j] = -x[:, j], x[:, i]
        rotations.append(motion)
    columns = np.stack([motion.ravel() for motion in (*translations, *rotations)], axis=1)
    return columns / np.linalg.norm(columns, axis=0)


def _rigid(cell: str, element: str) -> Case:
    dim = 2 if cell in PLANE_CELLS else 3
    expected = 3 if dim == 2 else 6

    @case(
        f"rigid-{slug(cell)}-{element.lower()}",
        group=GROUP,
        title=f"Rigid-body motions of {element} on the {spoken(cell)}",
        equations=r"$$ K\,r = 0 \text{ for translations and rotations } r, \qquad \dim\ker K = " + rf"{expected} $$",
        setup="The smallest lattice of the cell, sheared and warped, without supports; "
        f"{'plane strain, ' if dim == 2 else ''}E = 1, ν = 0.3. The spectrum of its dense stiffness matrix, over "
        f"the largest "
        "eigenvalue; values below 1e-10 count as zero.",
        source="Hughes, The Finite Element Method, 2000, section 4.4; Bathe, Finite Element Procedures, 1996, "
        "section 4.3",
    )
    def run() -> Sequence[Check]:
        space = FunctionSpace(_few_cells(cell), element, (dim,))
        matrix, values = stiffness_spectrum(space, "plane strain" if dim == 2 else "solid")
        rigid = motions(np.asarray(space.nodes()))
        energy = np.max(np.abs(np.einsum("ik,ij,jk->k", rigid, matrix, rigid))) / np.max(np.abs(matrix))
        return [
            count("motions without energy", expected, np.sum(np.abs(values) < 1e-10)),
            absolute("energy of rigid motions over the largest stiffness", 0.0, energy, 1e-13),
        ]

    return run


CASES = tuple(_rigid(cell, element) for cell, element in ELEMENTS)
"""The chapter."""
