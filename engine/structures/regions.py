"""The members of a frame sorted into regions that share a section and a theory."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from gemel.engine.coefficients import Law, PerCell, Profile, by_tag, coefficient
from gemel.engine.elementgroups import ElementGroup, ElementKernel
from gemel.engine.problems import Summand
from gemel.engine.spaces import FunctionSpace, Space
from gemel.engine.structures.axes import default_orientation, local_axes, planar_corners, planar_orientation
from gemel.engine.structures.conditions import MemberCondition, RigidOffset
from gemel.engine.structures.joints import members_of
from gemel.engine.structures.kernels import MemberForce, MemberNumbers
from gemel.engine.structures.member import THEORIES
from gemel.engine.structures.sections import Section
from gemel.meshes import Mesh


class Members(Summand):
    """A kernel on the members ``cells`` of a frame."""

    kernel: ElementKernel
    cells: np.ndarray

    def plan(self, space: Space) -> ElementGroup:
        """The unknowns of both nodes of every member."""
        assert isinstance(space, FunctionSpace)
        nodes = np.asarray(space.cell_nodes[0])[self.cells]
        c = space.n_components
        unknowns = (nodes[:, :, None] * c + np.arange(c)).reshape(len(nodes), -1)
        return ElementGroup(self.kernel, unknowns, members_of(space.mesh)[self.cells], self.cells)


class Region(NamedTuple):
    """Members that share a section and a theory."""

    numbers: MemberNumbers
    cells: np.ndarray

    def part(self, cells: np.ndarray) -> "Region":
        """Those of the members that are among ``cells``."""
        kept = np.flatnonzero(np.isin(self.cells, cells))

        def rows(leaf: Any) -> Any:
            return PerCell(leaf.values[kept]) if isinstance(leaf, PerCell) else leaf

        numbers = jax.tree.map(rows, self.numbers, is_leaf=lambda leaf: isinstance(leaf, PerCell))
        return Region(numbers, self.cells[kept])

    def under(self, condition: MemberCondition, mesh: Mesh) -> list[Members]:
        """What acts on the members of this region, if it does."""
        part = self.part(np.asarray(mesh.cells_of(condition.on)))
        return [Members(MemberForce(part.numbers, condition), part.cells)] if len(part.cells) else []


class Material(NamedTuple):
    """The numbers of the material, each a number, a parameter, or one for each tag of cells."""

    youngs_modulus: Any
    poisson_ratio: Any
    density: Any


def sort(
    mesh: Mesh,
    section: Section | Mapping[str, Section],
    theory: str | Mapping[str, str],
    material: Material,
    orientations: Any,
    offsets: np.ndarray,
    masks: np.ndarray,
) -> tuple[list[Region], list[str]]:
    """The regions of a frame, and the theory of every member.

    Raises `ValueError` for tags that are unknown, overlap or leave members out, and numbers out of range.
    """
    shapes = by_tag(mesh, section if isinstance(section, Mapping) else {"all": section})
    theories = by_tag(mesh, theory if isinstance(theory, Mapping) else {"all": theory})
    for name in theories.values:
        if name not in THEORIES:
            raise ValueError(f"The theory of a member is one of {', '.join(THEORIES)}, not '{name}'.")
    numbers = Material(*(_number(mesh, *each) for each in zip(Material._fields, material, strict=True)))
    names = [
        "truss" if shapes.values[shape].is_bar else theories.values[theory]
        for shape, theory in zip(shapes.index, theories.index, strict=True)
    ]
    regions = []
    for key, shape in enumerate(shapes.values):
        for name in THEORIES:
            cells = np.flatnonzero((np.asarray(shapes.index) == key) & (np.asarray(names) == name))
            if len(cells):
                directions, arms, hinges = PerCell(orientations[cells]), _rows(offsets[cells]), _rows(masks[cells])
                regions.append(Region(MemberNumbers(shape, *numbers, directions, arms, hinges, name), cells))
    return regions, names


def _rows(values: np.ndarray) -> PerCell | None:
    """One row a member, or None where all are zero."""
    return PerCell(jnp.asarray(values)) if np.any(values) else None


_RANGES = {
    "youngs_modulus": ("Young's modulus", "be positive", lambda e: e > 0),
    "poisson_ratio": ("Poisson's ratio", "lie between -1 and 0.5", lambda nu: (nu > -1) & (nu <= 0.5)),
    "density": ("density", "be positive", lambda rho: rho > 0),
}


def _number(mesh: Mesh, field: str, value: Any) -> Any:
    name, range_, test = _RANGES[field]
    for each in value.values() if isinstance(value, Mapping) else [value]:
        if isinstance(each, Law | Profile):
            raise ValueError(f"The {name} of a frame is a number or parameter, or one for each tag, no {type(each)}.")
        known = isinstance(each, int | float | np.number | np.ndarray | jax.Array) and not isinstance(each, Tracer)
        if known and not bool(np.all(test(np.asarray(each)))):
            raise ValueError(f"The {name} of a frame must {range_}, not {each}.")
    return coefficient(mesh, value)


def offset_rows(mesh: Mesh, offsets: Sequence[RigidOffset]) -> np.ndarray:
    """The rigid arms of every member ``(n_members, 2, 3)``; raises `ValueError` for vectors of another length."""
    rows = np.zeros((mesh.n_cells, 2, 3))
    for offset in offsets:
        for end, arm in enumerate((offset.start, offset.finish)):
            if len(arm) != mesh.dim:
                raise ValueError(f"The rigid offset of '{offset.on}' needs {mesh.dim} numbers, not {list(arm)}.")
            rows[np.asarray(mesh.cells_of(offset.on)), end, : mesh.dim] = arm
    return rows


def orientation_rows(mesh: Mesh, orientation: Any, offsets: np.ndarray) -> tuple[Any, Any]:
    """The orientation ``(n_members, 3)`` and the local axes ``(n_members, 3, 3)`` of every member.

    Raises `ValueError` for an orientation along a member, or one in the plane.
    """
    given = orientation if isinstance(orientation, Mapping) else {"all": orientation}
    if mesh.dim == 2 and any(direction is not None for direction in given.values()):
        raise ValueError("The local axes of a frame in the plane are given by the plane: leave the orientation out.")
    chosen, wanted = np.zeros(mesh.n_cells, dtype=bool), jnp.zeros((mesh.n_cells, 3))
    for tag, direction in given.items():
        if direction is not None:
            mine = np.isin(np.arange(mesh.n_cells), np.asarray(mesh.cells_of(tag)))
            chosen, wanted = chosen | mine, jnp.where(mine[:, None], jnp.asarray(direction, float), wanted)
    rows, axes, across = _oriented(jnp.asarray(mesh.points)[members_of(mesh)], offsets, chosen, wanted)
    if not isinstance(across, Tracer) and np.any(np.asarray(across) <= 1e-6):
        worst = int(np.argmin(np.asarray(across)))
        raise ValueError(f"The orientation {np.asarray(rows[worst]).tolist()} of member {worst} lies along it.")
    return rows, axes


@jax.jit
def _oriented(corners: Array, offsets: Array, chosen: Array, wanted: Array) -> tuple[Array, Array, Array]:
    """Orientation, local axes, and the sine of the angle between orientation and member."""
    if corners.shape[2] == 2:
        corners = jax.vmap(planar_corners)(corners)
        rows = jax.vmap(planar_orientation)(corners)
    else:
        corners = corners + offsets
        rows = jnp.where(chosen[:, None], wanted, jax.vmap(default_orientation)(corners[:, 1] - corners[:, 0]))
    along = corners[:, 1] - corners[:, 0]
    sizes = jnp.linalg.norm(along, axis=1) * jnp.linalg.norm(rows, axis=1)
    axes, _ = jax.vmap(local_axes)(corners, rows)
    return rows, axes, jnp.linalg.norm(jnp.cross(along, rows), axis=1) / sizes
