"""The cells or facets that a tag names as domains: quadrature, and fields tabulated at its points; on the host."""

from typing import Any

import numpy as np

from gemel.engine.domains import Domain, FieldTable
from gemel.engine.elements import LagrangeElement
from gemel.engine.spaces import FunctionSpace, RealSpace, Space, field_of
from gemel.meshes import facet_frames, facet_groups, facet_quadrature, quadrature
from gemel.solvers.placing import on_device


def domains(
    space: Space,
    tag: str,
    facets: bool = False,
    degree: int | None = None,
    fields: tuple[str, ...] | str | None = None,
    coefficients: tuple[FunctionSpace, ...] = (),
) -> tuple[Domain, ...]:
    """The cells (or facets) called ``tag``, in groups of one type, with a quadrature rule exact to ``degree``.

    Args:
        space: where the unknowns live.
        tag: a tag of cells (or ``"all"``) or of facets (or ``"boundary"``).
        facets: which of both.
        degree: twice the element's by default, and more where cells are curved.
        fields: names of the fields that integrands are given; one name alone is given without a dictionary.
            None is every function space.
        coefficients: the spaces of fields that integrands use as coefficients.

    Raises:
        ValueError: for an unknown tag or field, or a tag that holds nothing.
    """
    mesh = space.mesh
    if mesh.cell_dim != mesh.dim:
        raise ValueError(
            f"Integrals need cells that fill space, but these are {mesh.cell_dim}-D cells in {mesh.dim}-D space: "
            "use structural elements."
        )
    degree = _default_degree(space) if degree is None else degree
    rows = np.asarray(mesh.facets(tag) if facets else mesh.cells_of(tag), dtype=np.int64).reshape(
        -1, 2 if facets else 1
    )
    if not len(rows):
        raise ValueError(f"The tag '{tag}' holds no {'facets' if facets else 'cells'}.")
    chosen = _chosen_fields(space, fields)
    found = []
    for block, (start, end) in enumerate(zip(mesh.offsets[:-1], mesh.offsets[1:], strict=True)):
        mine = rows[(rows[:, 0] >= start) & (rows[:, 0] < end)]
        groups = facet_groups(mesh.blocks[block].cell_type) if facets else ((None, ()),)
        for kind, locals_ in groups:
            part = mine[np.isin(mine[:, 1], locals_)] if facets else mine
            if len(part):
                found.append(_domain(space, chosen, coefficients, block, part, kind, locals_, degree))
    return tuple(found)


def _default_degree(space: Space) -> int:
    return 2 * space.degree + (space.mesh.degree - 1) * space.mesh.dim


def _chosen_fields(space: Space, names: tuple[str, ...] | str | None) -> list[tuple[str, Any, int]]:
    """Name, space and first unknown of the fields that integrands are given."""
    if isinstance(names, str):
        return [("", *field_of(space, names))]
    if isinstance(names, tuple):
        return [(name, *field_of(space, name)) for name in names]
    return [field for field in space.fields if isinstance(field[1], FunctionSpace)]


def _domain(
    space: Space,
    chosen: list[tuple[str, Any, int]],
    coefficients: tuple[FunctionSpace, ...],
    block: int,
    rows: np.ndarray,
    kind: str | None,
    locals_: tuple[int, ...],
    degree: int,
) -> Domain:
    """The elements ``rows`` of one block, facets of type ``kind`` with local numbers ``locals_`` or cells."""
    mesh = space.mesh
    cell_type, start = mesh.blocks[block].cell_type, mesh.offsets[block]
    if kind is None:
        samples, weights = quadrature(cell_type, degree)
        samples, reference = samples[None], np.zeros(len(rows), dtype=np.int32)
        tangents, normals = np.zeros((1, 0, mesh.dim)), np.zeros((1, mesh.dim))
    else:
        samples, weights = facet_quadrature(cell_type, degree, kind)
        reference = np.searchsorted(np.asarray(locals_), rows[:, 1]).astype(np.int32)
        tangents, normals = facet_frames(cell_type, kind)
    cells = rows[:, 0] - start
    values, gradients = _tabulated(LagrangeElement(cell_type, mesh.degree), samples)
    domain = Domain(
        tables=tuple(_table(name, part, first, block, cells, samples) for name, part, first in chosen),
        corners=_rows(mesh.blocks[block].cells, cells),
        cells=rows[:, 0].astype(np.int32),
        reference=reference,
        weights=weights,
        geometry=values,
        geometry_gradient=gradients,
        tangents=tangents,
        normals=normals,
        coefficients=tuple(_table("", part, 0, block, cells, samples) for part in coefficients),
        local=None if kind is None else tuple(locals_),
    )
    return on_device(domain, copy=True)  # tables of the mesh are its owner's, who may write to them


def _table(name: str, space: Any, first: int, block: int, cells: np.ndarray, samples: np.ndarray) -> FieldTable:
    """The table of one field; the numbers of a `RealSpace` are the same in every element."""
    if isinstance(space, RealSpace):
        ones = np.ones((*samples.shape[:2], 1))
        nodes = np.zeros((len(cells), 1), dtype=np.int32)
        return FieldTable(nodes, ones, np.zeros((*ones.shape, samples.shape[2])), name, space.shape, 1, first)
    values, gradients = _tabulated(space.elements[block], samples)
    nodes = _rows(space.cell_nodes[block], cells)
    return FieldTable(nodes, values, gradients, name, space.shape, space.n_nodes, first)


def _rows(table: Any, chosen: np.ndarray) -> np.ndarray:
    """Some rows of a table; the table itself for all of them in order, which needs no memory."""
    table = np.asarray(table)
    everything = len(chosen) == len(table) and bool((np.diff(chosen) == 1).all())
    return table if everything else table[chosen]


def _tabulated(element: LagrangeElement, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Basis and reference gradients at the samples ``(n_reference, n_points, dim)``."""
    tables = [element.tabulate(block) for block in samples]
    return np.stack([values for values, _ in tables]), np.stack([gradients for _, gradients in tables])


def node_domains(space: FunctionSpace, coefficients: tuple[FunctionSpace, ...] = ()) -> tuple[Domain, ...]:
    """All cells, with the nodes of the space in place of quadrature points and weights of one."""
    mesh = space.mesh
    found = []
    for block, element in enumerate(space.elements):
        samples = element.node_points[None]
        rows = np.arange(*mesh.offsets[block : block + 2])
        cells = rows - mesh.offsets[block]
        values, gradients = _tabulated(LagrangeElement(element.cell_type, mesh.degree), samples)
        domain = Domain(
            tables=(_table("", space, 0, block, cells, samples),),
            corners=_rows(mesh.blocks[block].cells, cells),
            cells=rows.astype(np.int32),
            reference=np.zeros(len(rows), dtype=np.int32),
            weights=np.ones(samples.shape[1]),
            geometry=values,
            geometry_gradient=gradients,
            tangents=np.zeros((1, 0, mesh.dim)),
            normals=np.zeros((1, mesh.dim)),
            coefficients=tuple(_table("", part, 0, block, cells, samples) for part in coefficients),
            local=None,
        )
        found.append(on_device(domain, copy=True))
    return tuple(found)
