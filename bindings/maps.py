"""Maps over a mesh of what one point sensor would tell, wherever it is mounted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gemel.bindings.report import LINE, MEASURED, TWIN, figure, number, save
from gemel.engine import MotionSensor, PointSensor, Twin, information_of_each
from gemel.engine.sensors import Sensor
from gemel.engine.twinfile.build import mesh_of
from gemel.meshes import Mesh
from gemel.meshes.geometry import facet_groups
from gemel.meshes.topology import facet_vertices

_SCALE = "viridis"
_ALL = 20_000
"""The largest number of points of a mesh that are all looked at; of larger ones in space those of the boundary."""


@dataclass(frozen=True)
class InformationMap:
    """What a copy of a sensor would tell at points of a mesh.

    Attributes:
        name: of the sensor.
        mesh: the mesh.
        nodes: ``(n,)`` the numbers of the points.
        information: ``(n,)`` in nats.
        mounted: where point sensors are mounted, by name, in m.
    """

    name: str
    mesh: Mesh
    nodes: np.ndarray
    information: np.ndarray
    mounted: dict[str, tuple[float, ...]]

    @property
    def best(self) -> np.ndarray:
        """The place, in m, where it would tell most."""
        return np.asarray(self.mesh.points)[self.nodes[np.argmax(self.information)]]

    @property
    def file(self) -> str:
        """What its picture is called."""
        return f"map-{re.sub(r'[^A-Za-z0-9_.-]', '_', self.name)}.png"

    def words(self) -> str:
        """Where the best place is, and how much the choice of a place matters."""
        place = ", ".join(number(1e3 * one) for one in self.best)
        most, middle = number(np.max(self.information)), number(np.median(self.information))
        return (
            f"A sensor like {self.name} would tell most at ({place}) mm: {most} nats, beside a median of {middle} over "
            "all places."
        )

    def figures(self) -> dict[str, Any]:
        """The map in numbers."""
        return {
            "best": self.best.tolist(),
            "points": np.asarray(self.mesh.points)[self.nodes].tolist(),
            "information": self.information.tolist(),
        }


def information_map(
    twin: Twin,
    name: str,
    sensor: Sensor,
    inputs: Any,
    times: Any,
    about: Sequence[str] | None,
) -> InformationMap:
    """What a copy of a point sensor would tell at the points of the mesh.

    Raises `ValueError` for a sensor of another kind.
    """
    origin = sensor.sensor if isinstance(sensor, MotionSensor) else sensor
    if not isinstance(origin, PointSensor):
        raise ValueError(f"a map is of a sensor of kind 'point', which '{name}' is not.")
    mesh = mesh_of(twin)
    points, nodes = np.asarray(mesh.points), np.arange(mesh.n_points)
    if mesh.dim == 3 and mesh.n_points > _ALL:
        nodes = mesh.nodes_of_facets("boundary")
    copies = []
    for number_, place in enumerate(points[nodes]):
        copy = replace(origin, name=f"{name}.{number_}", position=tuple(place.tolist()))
        copies.append(MotionSensor(copy, sensor.derivative) if isinstance(sensor, MotionSensor) else copy)
    told = np.asarray(information_of_each(twin, copies, inputs, times, about))
    plain = [one.sensor if isinstance(one, MotionSensor) else one for one in twin.sensors]
    mounted = {one.name: one.position for one in plain if isinstance(one, PointSensor)}
    return InformationMap(name, mesh, nodes, told, mounted)


def plot_map(path: Path, found: InformationMap) -> None:
    """Draw a map into a PNG: in a plane all of it, of a body its boundary from two sides."""
    values = np.full(found.mesh.n_points, np.nan)
    values[found.nodes] = found.information
    draw = {1: _draw_line, 2: _draw_plane, 3: _draw_body}[found.mesh.dim]
    draw(path, found, values)


def _draw_line(path: Path, found: InformationMap, values: np.ndarray) -> None:
    drawing, ((axis,),) = figure(1)
    x = 1e3 * np.asarray(found.mesh.points)[:, 0]
    order = np.argsort(x)
    axis.plot(x[order], values[order], color=LINE)
    for name, place in found.mounted.items():
        axis.axvline(1e3 * place[0], color=MEASURED, lw=1, ls="--")
        axis.annotate(name, (1e3 * place[0], np.min(values)), fontsize=8)
    axis.plot(1e3 * found.best[0], np.max(values), "*", color=TWIN, ms=12)
    axis.set_xlabel("x [mm]")
    axis.set_ylabel("information [nats]")
    axis.grid(alpha=0.25)
    save(drawing, path)


def _draw_plane(path: Path, found: InformationMap, values: np.ndarray) -> None:
    points = 1e3 * np.asarray(found.mesh.points)
    triangles = []
    for block in found.mesh.blocks:
        around = _around(np.asarray(block.vertices))
        triangles += [around[:, [0, i, i + 1]] for i in range(1, around.shape[1] - 1)]
    size = np.ptp(points, axis=0)
    drawing, ((axis,),) = figure(1, heights=[float(np.clip(7.0 * size[1] / size[0] + 0.6, 1.8, 9.0))])
    corners = np.concatenate(triangles)
    shown = axis.tricontourf(points[:, 0], points[:, 1], corners, values, levels=24, cmap=_SCALE)
    for name, place in found.mounted.items():
        axis.plot(1e3 * place[0], 1e3 * place[1], "o", color="white", mec="black", ms=6)
        axis.annotate(
            name, (1e3 * place[0], 1e3 * place[1]), xytext=(5, 5), textcoords="offset points", fontsize=8, color="white"
        )
    axis.plot(*(1e3 * found.best), "*", color=TWIN, mec="white", ms=14, clip_on=False)
    axis.set_aspect("equal")
    axis.set_xlabel("x [mm]")
    axis.set_ylabel("y [mm]")
    axis.set_title(f"{_title(found)})", loc="left", fontsize=10)
    drawing.colorbar(shown, ax=axis, label="information [nats]", pad=0.02)
    save(drawing, path)


def _draw_body(path: Path, found: InformationMap, values: np.ndarray) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    points = 1e3 * np.asarray(found.mesh.points)
    polygons = [one for part in _boundary(found.mesh) for one in part]
    colours = np.asarray([np.mean(values[one]) for one in polygons])
    size, ends = np.ptp(points, axis=0), (np.min(points, axis=0), np.max(points, axis=0))
    drawing = Figure(figsize=(9.0, 4.2), layout="constrained")
    FigureCanvasAgg(drawing)
    faces: Any = None
    for number_, (elevation, azimuth) in enumerate(((35, -60), (-35, 120))):
        axis: Any = drawing.add_subplot(1, 2, number_ + 1, projection="3d", computed_zorder=False)
        faces = Poly3DCollection([points[one] for one in polygons], cmap=_SCALE, edgecolor="#ffffff40", linewidth=0.3)
        faces.set_array(colours)
        axis.add_collection3d(faces)
        for place in found.mounted.values():
            axis.plot(*(1e3 * np.asarray(place))[:, None], "o", color="white", mec="black", ms=6, zorder=9)
        axis.plot(*(1e3 * found.best)[:, None], "*", color=TWIN, mec="black", ms=13, zorder=9)
        for key, start, end in zip("xyz", *ends, strict=True):
            getattr(axis, f"set_{key}lim")(start, end)
            flat = end - start < 0.2 * np.max(size)
            getattr(axis, f"set_{key}label")("" if flat else f"{key} [mm]", fontsize=8)
            getattr(axis, f"{key}axis").set_major_locator(MaxNLocator(1 if flat else 5))
            axis.tick_params(labelsize=7)
        axis.set_box_aspect(np.maximum(size, 0.08 * np.max(size)), zoom=1.15)
        axis.view_init(elevation, azimuth)
        axis.set_title(("from above", "from below")[number_], fontsize=9)
    drawing.suptitle(f"{_title(found)}; also where hidden)", x=0.02, ha="left", fontsize=10)
    drawing.colorbar(faces, ax=drawing.axes, label="information [nats]", shrink=0.7, pad=0.02)
    save(drawing, path)


def _title(found: InformationMap) -> str:
    return f"what a sensor like {found.name} would tell (circles: mounted, star: best place"


def _boundary(mesh: Mesh) -> list[np.ndarray]:
    """The facets on the boundary as tables of points around them, by their type."""
    facets, found = mesh.boundary_facets(), []
    for part in mesh.facet_parts(facets):
        block, rows = mesh.blocks[part.block], facets[part.rows]
        numbers = dict(facet_groups(block.cell_type))[part.facet_type]
        local = facet_vertices(block.cell_type, part.facet_type)[np.searchsorted(numbers, rows[:, 1])]
        cells = np.asarray(block.vertices)[rows[:, 0] - mesh.offsets[part.block]]
        found.append(_around(np.take_along_axis(cells, local, axis=1)))
    return found


def _around(vertices: np.ndarray) -> np.ndarray:
    """The vertices of triangles, or of quadrilaterals, one after the other around each."""
    return vertices if vertices.shape[1] == 3 else vertices[:, [0, 1, 3, 2]]
