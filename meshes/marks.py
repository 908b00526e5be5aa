"""Tags as integer data of cells and points, which every format with data can carry."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import basix
import numpy as np
from jaxtyping import Int

from gemel.meshes.blocks import CellBlock, block_offsets
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import basix_cell
from gemel.meshes.mesh import Mesh

MARKS = {"cells": "gemel:cells:", "facets": "gemel:facets:", "nodes": "gemel:nodes:"}
"""Prefixes of data names. Cells and nodes are marked by 1; bit f of a cell's number marks its facet f."""


def mark(kind: str, tag: str) -> str:
    """The data name of a tag; characters that VTK files cannot hold in a name are percent-encoded."""
    return MARKS[kind] + quote(tag, safe="")


def marks(mesh: Mesh) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The tags of a mesh as integer data of its points and of its cells."""
    points = {mark("nodes", tag): _flags(mesh.n_points, numbers) for tag, numbers in mesh.node_tags.items()}
    cells = {mark("cells", tag): _flags(mesh.n_cells, numbers) for tag, numbers in mesh.cell_tags.items()}
    for tag, facets in mesh.facet_tags.items():
        bits = np.zeros(mesh.n_cells, dtype=np.int32)
        cell, local = np.asarray(facets).T
        np.bitwise_or.at(bits, cell, (1 << local).astype(np.int32))
        cells[mark("facets", tag)] = bits
    return points, cells


def _flags(count: int, numbers: np.ndarray) -> np.ndarray:
    flags = np.zeros(count, dtype=np.int32)
    flags[np.asarray(numbers)] = 1
    return flags


_SKFEM = {
    "triangle": ((0, 1), (1, 2), (0, 2)),
    "quadrilateral": ((0, 1), (1, 3), (3, 2), (2, 0)),
    "tetrahedron": ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)),
    "hexahedron": ((0, 4, 6, 2), (0, 2, 3, 1), (0, 1, 5, 4), (2, 6, 7, 3), (4, 5, 7, 6), (1, 3, 7, 5)),
}
"""Local facets that scikit-fem's ``skfem:b:<name>`` data count in bits, by basix's vertices."""


def marked_tags(raw: Any, order: list[int], blocks: Sequence[CellBlock]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Tags in the data of a mesh that meshio has read: kind, name, members (facets by their vertices).

    Args:
        raw: what meshio has read.
        order: its blocks that hold the cells, in the order of ``blocks``.
        blocks: the cells, one block a type.
    """
    for key, values in raw.cell_data.items():
        if key.startswith((MARKS["cells"], "skfem:s:")):
            yield "cells", _tag_name(key), np.flatnonzero(_integers(key, values, order))
        elif key.startswith(MARKS["facets"]):
            for found in _facets(key, _integers(key, values, order), blocks, _own_facets):
                yield "facets", _tag_name(key), found
        elif key.startswith("skfem:b:"):
            for found in _facets(key, _integers(key, values, order), blocks, _SKFEM.get):
                yield "facets", _tag_name(key), found
    for key, values in raw.point_data.items():
        if key.startswith(MARKS["nodes"]):
            yield "nodes", _tag_name(key), np.flatnonzero(np.asarray(values).ravel())


def _own_facets(cell_type: str) -> list[list[int]]:
    return basix.topology(basix_cell(cell_type))[-2]


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
    blocks: Sequence[CellBlock],
    facets_of: Callable[[str], Any],
) -> Iterator[Int[np.ndarray, "_n _n_vertices"]]:
    """Vertices of the marked facets, block by block and facet by facet."""
    for block, mine in zip(blocks, np.split(bits, block_offsets(blocks)[1:-1]), strict=True):
        local = facets_of(block.cell_type) or ()
        if ((mine < 0) | (mine >= 1 << len(local))).any():
            raise MeshError(f"its cell data '{key}' mark facets that the cells do not have.")
        for number, vertices in enumerate(local):
            yield np.asarray(block.cells)[np.flatnonzero(mine >> number & 1)][:, list(vertices)]
