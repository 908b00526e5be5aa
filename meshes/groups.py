"""Named groups of a mesh file: what each format calls them, as groups of cells by name."""

from typing import Any

import numpy as np

NUMBERED = ("gmsh:physical", "medit:ref", "nastran:ref", "tetgen:ref", "netgen:index", "su2:tag", "cell_tags")
"""Cell data of meshio that hold one group number a cell."""

Groups = dict[str, dict[int, np.ndarray]]
"""By name, and in it by number of the cell block: the members of the group in that block."""


def file_groups(raw: Any) -> Groups:
    """All groups of cells of a mesh that meshio has read.

    Named sets keep their names. Numbered groups take the name that gmsh or MED gives to their number, else
    ``"<dimension>:<number>"``; number 0 means no group.
    """
    groups: Groups = {}
    for name, members in raw.cell_sets.items():
        if not name.startswith("gmsh:"):
            for block, numbers in enumerate(members):
                _add(groups, str(name), block, numbers)
    for key in NUMBERED:
        for block, numbers in enumerate(raw.cell_data.get(key, ())):
            numbers = np.asarray(numbers).ravel()
            for number in np.unique(numbers[numbers != 0]).tolist():
                for name in _names(raw, key, int(number), raw.cells[block].dim):
                    _add(groups, name, block, np.flatnonzero(numbers == number))
    return groups


def file_nodes(raw: Any) -> dict[str, np.ndarray]:
    """Named sets of points, and the groups of points of MED."""
    nodes = {str(name): np.asarray(numbers, dtype=np.int64) for name, numbers in raw.point_sets.items()}
    numbers = np.asarray(raw.point_data.get("point_tags", ())).ravel()
    for number, names in getattr(raw, "point_tags", {}).items():
        for name in names:
            members = np.flatnonzero(numbers == number)
            nodes[str(name)] = np.union1d(nodes[str(name)], members) if str(name) in nodes else members
    return nodes


def _add(groups: Groups, name: str, block: int, numbers: Any) -> None:
    if numbers is None or len(numbers) == 0:
        return
    members = groups.setdefault(name, {})
    numbers = np.asarray(numbers, dtype=np.int64)
    members[block] = np.union1d(members[block], numbers) if block in members else np.unique(numbers)


def _names(raw: Any, key: str, number: int, dim: int) -> list[str]:
    if key == "gmsh:physical":
        for name, value in raw.field_data.items():
            if np.size(value) == 2 and (int(value[0]), int(value[1])) == (abs(number), dim):
                return [str(name)]
    if key == "cell_tags":
        named = getattr(raw, "cell_tags", {}).get(number)
        if named:
            return [str(name) for name in named]
    return [f"{dim}:{number}"]
