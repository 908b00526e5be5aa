"""Lagrange elements, tabulated by fenics-basix on the host."""

import dataclasses

import basix
import numpy as np

from gemel.meshes import coordinate_element, tabulate

_FAMILIES = {"triangle": "P", "tetrahedron": "P", "quadrilateral": "Q", "hexahedron": "Q"}
_DEGREES = (1, 2)


@dataclasses.dataclass(frozen=True)
class LagrangeElement:
    r"""The Lagrange element of degree 1 or 2 on one reference cell.

    The basis $\{\varphi_a\}$ is nodal at the vertices (degree 1) and at the midpoints of edges,
    quadrilateral faces and quadrilateral or hexahedral interiors (degree 2). On triangles and
    tetrahedra it spans $P_k$, on quadrilaterals and hexahedra $Q_k$.

    Source: Ciarlet, *The Finite Element Method for Elliptic Problems*, 1978; tables by
    Scroggs et al., *Basix*, JOSS 2022.
    """

    cell_type: str
    degree: int

    @property
    def name(self) -> str:
        """The element's short name, such as ``P2`` or ``Q1``."""
        return f"{_FAMILIES[self.cell_type]}{self.degree}"

    @property
    def n_nodes(self) -> int:
        """Nodes in one cell."""
        return _basix_element(self).dim

    @property
    def entity_nodes(self) -> list[list[list[int]]]:
        """Local nodes of each reference entity: ``entity_nodes[dim][entity]``."""
        return _basix_element(self).entity_dofs

    @property
    def facet_nodes(self) -> np.ndarray:
        """Local nodes on each reference facet with its edges and vertices, ``(n_facets, n_facet_nodes)``."""
        return np.asarray(_basix_element(self).entity_closure_dofs[-2])

    @property
    def node_points(self) -> np.ndarray:
        """Reference coordinates of the nodes, ``(n_nodes, dim)``."""
        return np.asarray(_basix_element(self).points)

    def tabulate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Basis values ``(n_points, n_nodes)`` and reference gradients ``(n_points, n_nodes, dim)``."""
        return tabulate(self.cell_type, self.degree, np.asarray(points, dtype=np.float64))


def _basix_element(element: LagrangeElement) -> basix.finite_element.FiniteElement:
    return coordinate_element(element.cell_type, element.degree)


def lagrange(name: str, cell_type: str) -> LagrangeElement:
    """The element called ``name`` ("P1", "P2", "Q1", "Q2") on a cell type.

    Raises `ValueError` where the name is unknown or does not fit the cell.
    """
    allowed = [f"{_FAMILIES[cell_type]}{degree}" for degree in _DEGREES]
    if name not in allowed:
        raise ValueError(
            f"Element '{name}' does not exist on a mesh of {cell_type} cells: allowed are {' and '.join(allowed)}."
        )
    return LagrangeElement(cell_type, int(name[1]))
