"""Lagrange elements of any degree on any cell, tabulated by fenics-basix on the host."""

import dataclasses
import functools
import math
import re
from typing import NamedTuple

import basix
import numpy as np

FAMILIES = {
    "interval": "P",
    "triangle": "P",
    "tetrahedron": "P",
    "prism": "P",
    "quadrilateral": "Q",
    "hexahedron": "Q",
}
"""The letter of the elements of each cell."""

_DIRECTIONS = {
    "interval": 1,
    "triangle": 1,
    "tetrahedron": 1,
    "prism": 2,
    "quadrilateral": 2,
    "hexahedron": 3,
}
"""The total degree of the basis of degree 1 on each cell."""

Powers = tuple[tuple[int, ...], ...]
"""The powers of each direction in several monomials."""

_NAME = re.compile(r"(D?)([PQ])([0-9])")


@dataclasses.dataclass(frozen=True)
class LagrangeElement:
    r"""The Lagrange element of one degree on one reference cell.

    The basis $\{\varphi_a\}$ is nodal in points placed by Gauss, Lobatto and Legendre's rule on edges (equally
    spaced up to degree 2) and warped from there into faces and interiors. It spans $P_k$ on intervals,
    triangles and tetrahedra, $Q_k$ on quadrilaterals and hexahedra, and the product of $P_k$ of the triangle
    with $P_k$ of the interval on prisms. A discontinuous element shares no nodes between cells; only it may have
    degree 0.

    Source: Ciarlet, *The Finite Element Method for Elliptic Problems*, 1978; tables by
    Scroggs et al., *Basix*, JOSS 2022.
    """

    cell_type: str
    degree: int
    continuous: bool = True

    @property
    def name(self) -> str:
        """The element's short name, such as ``P2``, ``Q1`` or ``DP0``."""
        return f"{'' if self.continuous else 'D'}{FAMILIES[self.cell_type]}{self.degree}"

    @property
    def n_nodes(self) -> int:
        """Nodes in one cell."""
        return len(_layout(self).points)

    @property
    def entity_nodes(self) -> list[list[list[int]]]:
        """Local nodes inside each reference entity: ``entity_nodes[dim][entity]``; for continuous elements."""
        return _layout(self).inside

    @property
    def facet_nodes(self) -> list[list[int]]:
        """Local nodes on each reference facet with its edges and vertices; none for degree 0."""
        if self.degree == 0:
            return [[] for _ in basix.topology(basix.CellType[self.cell_type])[-2]]
        return _layout(dataclasses.replace(self, continuous=True)).closures[-2]

    @property
    def node_points(self) -> np.ndarray:
        """Reference coordinates of the nodes, ``(n_nodes, dim)``."""
        return _layout(self).points

    def tabulate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Basis values ``(n_points, n_nodes)`` and reference gradients ``(n_points, n_nodes, dim)``."""
        table = np.asarray(_basix_element(self).tabulate(1, np.asarray(points, dtype=np.float64)))[..., 0]
        return table[0], np.moveaxis(table[1:], 0, -1)

    def expansion(self, points: np.ndarray) -> tuple[Powers, np.ndarray]:
        r"""The basis around points, exactly: $\varphi_a(X_q + d) = \sum_t c_{qta} \prod_i d_i^{p_{ti}}$.

        Returns the powers $p$, a tuple of ``n_terms`` tuples of ``dim``, and Taylor's coefficients $c$
        ``(n_points, n_terms, n_nodes)``.
        """
        points = np.asarray(points, dtype=np.float64)
        order = self.degree * _DIRECTIONS[self.cell_type]
        tables = np.asarray(_basix_element(self).tabulate(order, points))[..., 0]
        powers = tuple(p for p in np.ndindex((order + 1,) * points.shape[1]) if sum(p) <= order)
        scales = np.array([math.prod(math.factorial(n) for n in p) for p in powers])
        rows = [basix.index(*p) for p in powers]
        return powers, np.moveaxis(tables[rows] / scales[:, None, None], 0, 1)


class _Layout(NamedTuple):
    """Nodes of the reference cell: their places, those inside each entity, and those on its closure."""

    points: np.ndarray
    inside: list[list[list[int]]]
    closures: list[list[list[int]]]


@functools.cache
def _layout(element: LagrangeElement) -> _Layout:
    """Kept for each element; the basix object itself is not, since it must not outlive the interpreter."""
    tables = _basix_element(element)
    return _Layout(np.array(tables.points), tables.entity_dofs, tables.entity_closure_dofs)


def _basix_element(element: LagrangeElement) -> basix.finite_element.FiniteElement:
    return basix.create_element(
        basix.ElementFamily.P,
        basix.CellType[element.cell_type],
        element.degree,
        basix.LagrangeVariant.gll_warped,
        discontinuous=not element.continuous,
    )


def lagrange(name: str, *cell_types: str) -> tuple[LagrangeElement, ...]:
    """The elements called ``name`` on the cell types of a mesh, one each.

    "P1" to "P9" on intervals, triangles, tetrahedra and prisms; "Q1" to "Q9" on quadrilaterals and hexahedra;
    with "D" before it and from degree 0 on, discontinuous. On a mesh of several cell types "P2" means the
    Lagrange element of degree 2 in every cell.

    Raises `ValueError` where the name is unknown or does not fit the cells.
    """
    match = _NAME.fullmatch(name)
    letter = FAMILIES[cell_types[0]] if len(cell_types) == 1 else "P"
    if not match or match[2] != letter or (match[3] == "0" and not match[1]):
        cells = " and ".join(cell_types)
        raise ValueError(
            f"Element '{name}' does not exist on a mesh of {cells} cells: allowed are {letter}1, {letter}2, "
            f"{letter}3 and so on, and D{letter}0, D{letter}1 and so on for discontinuous ones."
        )
    return tuple(LagrangeElement(cell_type, int(match[3]), not match[1]) for cell_type in cell_types)
