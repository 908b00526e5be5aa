"""Elements at single points: concentrated loads, springs, dashpots and masses, on any function space."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import PerCell, Vector
from gemel.engine.elementgroups import ElementGroup, ElementKernel
from gemel.engine.fields import Jet, Point
from gemel.engine.forms import Form
from gemel.engine.physics.integrands import Load, Reaction
from gemel.engine.problems import Summand
from gemel.engine.spaces import FunctionSpace, Space, field_of
from gemel.engine.tangents import Delegated, Differentiable
from gemel.meshes import MeshError
from gemel.solvers.placing import on_device

Place = str | tuple[float, ...]
"""A tag of nodes, each of which gets the element, or the coordinates of one point of the mesh in m."""


class PointKernel(Delegated, ElementKernel):
    r"""A form's source at a point whose motion is $v = \sum_a w_a u_a$: the residual $w_a\,s(v, x)$ of unknown $a$."""

    form: Form
    weights: PerCell
    place: PerCell
    shape: tuple[int, ...] = eqx.field(static=True)

    def residual(self, u: Float[Array, " n_local"], x: Float[Array, "n_corners dim"]) -> Float[Array, " n_local"]:
        """The residual of the unknowns of the nodes around the point."""
        weights: Any = self.weights  # one row of the table
        place: Any = self.place
        value = jnp.tensordot(weights, u.reshape(-1, *self.shape), 1)
        jet = Jet(value, jnp.zeros((*self.shape, place.shape[0])))
        source = self.form.dual(jet, Point(place)).value
        return jnp.tensordot(weights, source, 0).reshape(-1)

    @property
    def origin(self) -> Differentiable:
        """The form."""
        return self.form


class PointElement(Summand):
    """A `Load` or a `Reaction` at points; made by `PointLoad`, `PointSpring`, `PointDashpot` and `PointMass`.

    ``translational`` belongs to all components of a field, and on the space of a frame (lines with 3 components in
    2-D, 6 in 3-D) to the displacements; ``rotational`` then belongs to the rotations.
    """

    kind: type[Load] | type[Reaction] = eqx.field(static=True)
    at: Place = eqx.field(static=True)
    translational: Any
    rotational: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def plan(self, space: Space) -> ElementGroup:
        """Find the points. Raises `ValueError` for an unknown tag, a place outside the mesh, or numbers that miss."""
        part, first = field_of(space, self.field)
        if not isinstance(part, FunctionSpace):
            raise ValueError(f"A point element at {self._where} needs a field with nodes, not '{self.field}'.")
        nodes, weights, places = self._points(part)
        c = part.n_components
        unknowns = (first + nodes[:, :, None] * c + np.arange(c)).reshape(len(nodes), -1)
        rows = PerCell(on_device(weights)), PerCell(on_device(places))
        kernel = PointKernel(self.kind(self._coefficient(part)), *rows, part.shape)
        nothing = np.zeros((len(nodes), 0), dtype=np.int32)
        return ElementGroup(kernel, unknowns, nothing, np.zeros(0, dtype=np.int32))

    @property
    def resists(self) -> bool:
        """Whether it answers a motion, as a spring does and a load does not."""
        return self.kind is Reaction

    @property
    def _where(self) -> str:
        return f"'{self.at}'" if isinstance(self.at, str) else f"{self.at} m"

    def _points(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array, Any]:
        """Nodes ``(n, k)``, their weights, and the places ``(n, dim)``."""
        if isinstance(self.at, str):
            numbers = np.asarray(space.mesh.nodes_of(self.at))
            return *_at_mesh_nodes(space, numbers), jnp.asarray(space.mesh.points)[numbers]
        places = np.asarray(self.at, float)[None]
        if places.shape[1] != space.mesh.dim:
            raise ValueError(
                f"A point element at {self._where} has {places.shape[1]} coordinates on a {space.mesh.dim}-D mesh."
            )
        try:
            return *space.interpolation(places), places
        except MeshError as error:
            raise ValueError(f"A point element at {self._where} lies outside the mesh.") from error

    def _coefficient(self, space: FunctionSpace) -> Any:
        """What stands for all components: translations, then rotations."""
        n, c = translations(space), space.n_components
        if n == c:
            if self.rotational is not None:
                raise ValueError(f"A point element at {self._where} has a rotational part, but the field no rotations.")
            entries = _entries(self.translational)
            if entries is not None and len(entries) != c:
                raise ValueError(f"A point element at {self._where} needs {c} numbers, not {len(entries)}.")
            return self.translational if entries is None else Vector(entries)
        parts = []
        for value, count, name in ((self.translational, n, "displacement"), (self.rotational, c - n, "rotation")):
            entries = _entries(0.0 if value is None else value)
            entries = (value if value is not None else 0.0,) * count if entries is None else entries
            if len(entries) != count:
                raise ValueError(
                    f"A point element at {self._where} needs {count} numbers for the {name}s, not {len(entries)}."
                )
            parts.extend(entries)
        return Vector(tuple(parts))


def _at_mesh_nodes(space: FunctionSpace, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nodes and weights that evaluate a function at points of the mesh, by their numbers."""
    width = max(element.n_nodes for element in space.elements)
    nodes, weights = np.zeros((len(numbers), width), dtype=np.int32), np.zeros((len(numbers), width))
    for number, (block, element) in enumerate(zip(space.mesh.blocks, space.elements, strict=True)):
        cells = np.asarray(block.cells)
        values, _ = element.tabulate(space.geometry(number).node_points)
        owner = np.full(space.mesh.n_points, -1)
        owner[cells.ravel()] = np.arange(cells.size)
        cell, local = np.divmod(owner[numbers], cells.shape[1])
        mine = owner[numbers] >= 0
        nodes[mine, : element.n_nodes] = np.asarray(space.cell_nodes[number])[cell[mine]]
        weights[mine, : element.n_nodes] = values[local[mine]]
    order = np.argsort(-np.abs(weights), axis=1, kind="stable")  # most are one node with weight one: leave out zeros
    kept = max(1, int((np.abs(weights) > 1e-12).sum(axis=1).max(initial=1)))
    order = order[:, :kept]
    return np.take_along_axis(nodes, order, axis=1), np.take_along_axis(weights, order, axis=1)


def translations(space: FunctionSpace) -> int:
    """How many components are displacements: those besides the rotations of a frame; all of any other field."""
    dim = space.mesh.dim
    frame = space.mesh.cell_dim == 1 and dim > 1 and space.shape == (3 * dim - 3,)
    return dim if frame else space.n_components


def _entries(value: Any) -> tuple[Any, ...] | None:
    """The entries of a vector, or None where one number (or coefficient) is given for all."""
    if isinstance(value, Vector):
        return value.entries
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return tuple(jnp.asarray(value)) if isinstance(value, np.ndarray | jax.Array) and value.ndim == 1 else None


def PointLoad(at: Place, force: Any, moment: Any = None, field: str | None = None) -> PointElement:
    """A force in N (or what flows into the field, a power in W) at a point, and on a frame a moment in N·m.

    A vector, its entries numbers, parameters or inputs; one number on a scalar field, and for the moment in 2-D.
    """
    return PointElement(Load, at, force, moment, field)


def PointSpring(at: Place, stiffness: Any, rotational: Any = None, field: str | None = None) -> PointElement:
    """A spring to the ground, N/m, one number or one for each displacement; on a frame N·m/rad for the rotations.

    A `Law` makes it nonlinear.
    """
    return PointElement(Reaction, at, stiffness, rotational, field)


def PointDashpot(at: Place, viscosity: Any, rotational: Any = None, field: str | None = None) -> PointElement:
    """A dashpot to the ground, N s/m, as `PointSpring`; it belongs among the ``dampings`` of a physics."""
    return PointElement(Reaction, at, viscosity, rotational, field)


def PointMass(at: Place, mass: Any, inertia: Any = None, field: str | None = None) -> PointElement:
    """A mass in kg, and on a frame its rotary inertia in kg m²; it belongs among the ``masses`` of a physics."""
    return PointElement(Reaction, at, mass, inertia, field)
