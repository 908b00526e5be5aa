"""Tags as integer data of cells and points, which every format with data can carry."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from jaxtyping import Int

from gemel.meshes.errors import MeshError
from gemel.meshes.topology import cell_entities

MARKS = {"cells": "gemel:cells:", "facets": "gemel:facets:", "nodes": "gemel:nodes:"}
"""Prefixes of data names. Cells and nodes are marked by 1; bit f of a cell's number marks its facet f."""


def mark(kind: str, tag: str) -> str:
    """The data name of a tag; characters that VTK files cannot hold in a name are percent-encoded."""
    return MARKS[kind] + quote(tag, safe="")


_SKFEM = {
    "triangle": ((0, 1), (1, 2), (0, 2)),
    "quadrilateral": ((0, 1), (1, 3), (3, 2), (2, 0)),
    "tetrahedron": ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)),
    "hexahedron": ((0, 4, 6, 2), (0, 2, 3, 1), (0, 1, 5, 4), (2, 6, 7, 3), (4, 5, 7, 6), (1, 3, 7, 5)),
}
"""Local facets that scikit-fem's ``skfem:b:<name>`` data count in bits, by basix's vertices."""


def marked_tags(
    raw: Any, blocks: list[int], cells: Int[np.ndarray, "n_cells n_nodes"], cell_type: str
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Tags in the data of a mesh that meshio has read: kind, name, members (facets by their vertices)."""
    dim = 2 if cell_type in ("triangle", "quadrilateral") else 3
    own_facets = cell_entities(cell_type, dim - 1)
    for key, values in raw.cell_data.items():
        if key.startswith((MARKS["cells"], "skfem:s:")):
            yield "cells", _tag_name(key), np.flatnonzero(_integers(key, values, blocks))
        elif key.startswith(MARKS["facets"]):
            yield "facets", _tag_name(key), _facets(key, _integers(key, values, blocks), cells, own_facets)
        elif key.startswith("skfem:b:"):
            local = np.asarray(_SKFEM[cell_type])
            yield "facets", _tag_name(key), _facets(key, _integers(key, values, blocks), cells, local)
    for key, values in raw.point_data.items():
        if key.startswith(MARKS["nodes"]):
            yield "nodes", _tag_name(key), np.flatnonzero(np.asarray(values).ravel())


def _tag_name(key: str) -> str:
    return unquote(key.split(":", 2)[2])


def _integers(key: str, values: Any, blocks: list[int]) -> Int[np.ndarray, " n_cells"]:
    data = np.concatenate([np.asarray(values[block]).ravel() for block in blocks])
    with np.errstate(all="ignore"):
        whole = data.astype(np.int64)
    if not np.array_equal(whole, data):
        raise MeshError(f"its cell data '{key}' mark a tag, but are not whole numbers.")
    return whole


def _facets(
    key: str,
    bits: Int[np.ndarray, " n_cells"],
    cells: Int[np.ndarray, "n_cells n_nodes"],
    local: Int[np.ndarray, "n_facets n_vertices"],
) -> Int[np.ndarray, "n n_vertices"]:
    if len(bits) != len(cells) or ((bits < 0) | (bits >= 1 << len(local))).any():
        raise MeshError(f"its cell data '{key}' mark facets that the cells do not have.")
    marked = np.argwhere(bits[:, None] >> np.arange(len(local)) & 1)
    return cells[marked[:, :1], local[marked[:, 1]]]
