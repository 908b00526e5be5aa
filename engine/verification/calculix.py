"""CalculiX on the same mesh: input decks of ten-node tetrahedra, runs, and what it prints."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gemel.engine import FunctionSpace
from gemel.meshes import Mesh

_ORDER = (0, 1, 2, 3, 9, 6, 8, 7, 5, 4)
"""Nodes of C3D10 among those of fenics-basix's quadratic tetrahedron."""

_FACES = ((0, 1, 2), (0, 3, 1), (1, 3, 2), (2, 3, 0))
"""Vertices of the faces 1 to 4 of a tetrahedron in CalculiX."""

_SECONDS = 120


class CalculixError(RuntimeError):
    """CalculiX ended without a result."""


class Deck:
    """Ten-node tetrahedra of a straight-edged mesh, written as ``mesh.inp``, with what a deck needs of it.

    CalculiX reads numbers of at most twenty characters: thirteen digits.

    Args:
        folder: where files go.
        mesh: tetrahedra of degree 1.
    """

    def __init__(self, folder: Path, mesh: Mesh) -> None:
        space = FunctionSpace(mesh, "P2")
        self.folder = folder
        self.points = np.asarray(space.nodes())
        self.cells = np.asarray(space.cell_nodes[0])[:, _ORDER]
        self.mesh_file = folder / "mesh.inp"
        nodes = [f"{i}, {x:.12e}, {y:.12e}, {z:.12e}" for i, (x, y, z) in enumerate(self.points, start=1)]
        cells = [", ".join(map(str, (i, *(cell + 1)))) for i, cell in enumerate(self.cells, start=1)]
        lines = ["*NODE, NSET=NALL", *nodes, "*ELEMENT, TYPE=C3D10, ELSET=EALL", *cells]
        self.mesh_file.write_text("\n".join(lines) + "\n", encoding="ascii")

    def node_set(self, name: str, where: Callable[[np.ndarray], np.ndarray]) -> str:
        """The lines of a set of the nodes that satisfy a predicate on coordinates."""
        chosen = np.flatnonzero(where(self.points)) + 1
        return "\n".join([f"*NSET, NSET={name}", *(f"{node}," for node in chosen)])

    def pressure(self, where: Callable[[np.ndarray], np.ndarray], value: float) -> str:
        """The lines of a pressure on the faces whose vertices all satisfy a predicate, for use after ``*DLOAD``."""
        inside = where(self.points)
        return "\n".join(
            f"{i}, P{face}, {value:.12e}"
            for i, cell in enumerate(self.cells, start=1)
            for face, vertices in enumerate(_FACES, start=1)
            if inside[cell[list(vertices)]].all()
        )

    def run(self, text: str) -> str:
        """Run a deck that follows the mesh; returns what CalculiX writes to its ``dat`` file.

        Raises `CalculixError` where it fails or takes longer than two minutes.
        """
        deck = self.folder / "deck.inp"
        deck.write_text(f"*INCLUDE, INPUT={self.mesh_file.name}\n{text}\n", encoding="ascii")
        command = ["ccx", "-i", "deck"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CalculixError(f"CalculiX took more than {_SECONDS} s.") from error
        results = self.folder / "deck.dat"
        if done.returncode != 0 or not results.is_file():
            last = " ".join(done.stdout.split())[-300:]
            raise CalculixError(f"CalculiX ended with code {done.returncode}: {last}")
        return results.read_text(encoding="ascii", errors="replace")


def material(young: float, nu: float, density: float) -> str:
    """The lines of an isotropic elastic material for all cells."""
    return (
        f"*MATERIAL, NAME=M\n*ELASTIC\n{young:.12e}, {nu:.12e}\n*DENSITY\n{density:.12e}\n"
        "*SOLID SECTION, ELSET=EALL, MATERIAL=M"
    )


def tables(dat: str, title: str, columns: int) -> list[np.ndarray]:
    """Every printed table whose line of heading holds ``title``: numbers of ``(n_rows, columns)``, sorted by row.

    Raises `CalculixError` where there is none.
    """
    found = []
    for text in dat.split(title)[1:]:
        rows: list[list[float]] = []
        for line in text.splitlines()[1:]:
            parts = line.split()
            if len(parts) == columns:
                rows.append([float(part) for part in parts])
            elif rows:
                break
        found.append(np.asarray(sorted(rows)))
    if not found or not all(table.size for table in found):
        raise CalculixError(f"CalculiX printed no {title}.")
    return found


def displacements(dat: str) -> np.ndarray:
    """The last printed table of displacements, ``(n_nodes, 3)`` in the order of the nodes.

    Raises `CalculixError` where there is none.
    """
    return tables(dat, "displacements (vx,vy,vz)", 4)[-1][:, 1:]


def frequencies(dat: str) -> np.ndarray:
    """The printed natural frequencies in Hz, ascending."""
    _, _, table = dat.partition("E I G E N V A L U E   O U T P U T")
    table = table.partition("P A R T I C I P A T I O N")[0]
    rows = [line.split() for line in table.splitlines()]
    found = [float(row[3]) for row in rows if len(row) == 5 and row[0].isdigit()]
    if not found:
        raise CalculixError("CalculiX printed no frequencies.")
    return np.asarray(found)
