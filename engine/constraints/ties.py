"""Ties between single nodes, and between surfaces whose meshes need not match."""

from typing import Any

import equinox as eqx
import numpy as np

from gemel.engine.constraints.condition import Constant, Equations, Tie
from gemel.engine.constraints.selection import Place, components_of, host_nodes, nodes_at, places_of
from gemel.engine.spaces import FunctionSpace, Space
from gemel.meshes import CellBlock
from gemel.meshes.locate import locate


class MultiPoint(Tie):
    r"""A linear relation between unknowns, $u_i = \sum_k a_k u_{j_k} + c$.

    Args:
        on: where $u_i$ is: the coordinates of one node in m, or a tag of nodes or facets, all of whose nodes
            then depend on the same masters. A master among them is left as it is.
        masters: $(a_k, j_k)$ for each master: its weight and its one node (coordinates, or a tag of one node);
            a third entry names its component where that is another one.
        value: $c$ in the field's SI unit: a number, parameter or input.
        component: which component of a vector field; each on its own when None.
        field: which field of a mixed space.

    Source: Abel and Shephard, *An algorithm for multipoint constraints in finite element analysis*, Int. J.
    Numer. Methods Eng. 14, 1979.
    """

    on: Place = eqx.field(static=True)
    masters: tuple[tuple[Any, ...], ...] = eqx.field(static=True, converter=lambda rows: tuple(map(tuple, rows)))
    value: Any = 0.0
    component: int | None = eqx.field(static=True, default=None)
    field: str | None = eqx.field(static=True, default=None)

    def equations(self, space: Space) -> Equations:
        """One equation for each node and component."""
        who = f"The tie of '{self.on}'"
        part, start = places_of(space, self.field, who)
        chosen = components_of(part, self.component, who[0].lower() + who[1:])
        nodes = nodes_at(part, self.on, who)
        columns = [self._master(part, master, chosen, who) for master in self.masters]
        weights = np.array([float(master[0]) for master in self.masters])
        masters = np.stack(columns, axis=1) if columns else np.zeros((len(chosen), 0), dtype=int)
        if len(nodes) > 1:
            alone = {int(node) for node in np.unique(masters // part.n_components)}
            nodes = np.array([node for node in nodes if int(node) not in alone], dtype=int)
        dependent = start + (nodes[:, None] * part.n_components + chosen).ravel()
        table = np.tile(start + masters, (len(nodes), 1))
        zero = isinstance(self.value, float | int) and self.value == 0
        offset = None if zero else Constant(self.value, len(table))
        repeated = np.tile(weights, (len(table), 1))
        return Equations(who, np.repeat(nodes, len(chosen)), dependent, table, repeated, offset)

    def _master(self, part: FunctionSpace, master: tuple[Any, ...], chosen: np.ndarray, who: str) -> np.ndarray:
        """The unknowns of one master, one for each chosen component."""
        if len(master) not in (2, 3):
            raise ValueError(f"{who}: a master is (weight, place) or (weight, place, component), not {master}.")
        nodes = nodes_at(part, master[1], who)
        if len(nodes) != 1:
            raise ValueError(f"{who} needs one node for each master: '{master[1]}' has {len(nodes)}.")
        own = chosen if len(master) == 2 else components_of(part, master[2], who[0].lower() + who[1:])
        return np.broadcast_to(nodes[0] * part.n_components + own, chosen.shape)


class Tied(Tie):
    r"""Glues the facets ``on`` to the facets ``to``: $u(x_d) = \sum_j N_j(x_d) u_j$ at every node $x_d$ of ``on``.

    The meshes of the two sides need not match. The interpolation carries every field that the side ``to``
    holds exactly; give the finer side as ``on``, so that forces pass as well.

    Args:
        on: a tag of facets whose nodes depend.
        to: a tag of facets that they lie on.
        tolerance: how far nodes may lie from those facets, relative to the diagonal of the mesh.
        component: which component of a vector field; all when None.
        field: which field of a mixed space.

    Source: Shephard, *Linear multipoint constraints applied via transformation as part of a direct stiffness
    assembly process*, Int. J. Numer. Methods Eng. 20, 1984.
    """

    on: str = eqx.field(static=True)
    to: str = eqx.field(static=True)
    tolerance: float = eqx.field(static=True, default=1e-6)
    component: int | None = eqx.field(static=True, default=None)
    field: str | None = eqx.field(static=True, default=None)

    def equations(self, space: Space) -> Equations:
        """One equation for each node of ``on`` and component; nodes that both sides share need none."""
        who = f"The tie of '{self.on}' to '{self.to}'"
        part, start = places_of(space, self.field, who)
        chosen = components_of(part, self.component, who[0].lower() + who[1:])
        nodes = np.setdiff1d(part.nodes_on(self.on), part.nodes_on(self.to))
        c = part.n_components
        masters, weights = self._interpolation(part, host_nodes(part, who)[nodes], who)
        dependent = start + (nodes[:, None] * c + chosen).ravel()
        table = start + masters[:, None, :] * c + chosen[None, :, None]
        repeated = np.repeat(weights, len(chosen), axis=0)
        return Equations(
            who, np.repeat(nodes, len(chosen)), dependent, table.reshape(len(dependent), -1), repeated, redundant=True
        )

    def _interpolation(self, part: FunctionSpace, x: np.ndarray, who: str) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights ``(n, k)`` of the cells behind ``to`` at the points ``x``."""
        mesh = part.mesh
        behind = np.unique(np.asarray(mesh.facets(self.to))[:, 0])
        if not len(x) or not len(behind):
            raise ValueError(f"{who} finds no nodes to tie.")
        numbers = mesh.block_of(behind)
        rows = [behind[numbers == k] - mesh.offsets[k] for k in range(len(mesh.blocks))]
        blocks = [CellBlock(b.cell_type, np.asarray(b.cells)[mine]) for b, mine in zip(mesh.blocks, rows, strict=True)]
        try:
            owner, reference = locate(np.asarray(mesh.points), blocks, mesh.degree, x, self.tolerance)
        except ValueError as error:
            raise ValueError(f"{who} finds a node that lies on no facet of '{self.to}': {error}") from error
        width = max(element.n_nodes for element in part.elements)
        nodes, weights = np.zeros((len(x), width), dtype=int), np.zeros((len(x), width))
        starts = np.cumsum([0, *map(len, rows)])
        for k, element in enumerate(part.elements):
            mine = np.flatnonzero((owner >= starts[k]) & (owner < starts[k + 1]))
            if len(mine):
                nodes[mine, : element.n_nodes] = np.asarray(part.cell_nodes[k])[rows[k][owner[mine] - starts[k]]]
                weights[mine, : element.n_nodes] = element.tabulate(reference[mine])[0]
        return nodes, weights
