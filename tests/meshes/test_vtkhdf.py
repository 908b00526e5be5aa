"""VTKHDF files: their structure, series in time, node orders of VTK, and what is refused."""

from typing import Any

import h5py
import meshio
import numpy as np
import pytest

from gemel.meshes import (
    CellBlock,
    Mesh,
    MeshError,
    box,
    coordinate_element,
    extrude,
    frame,
    read_mesh,
    rectangle,
    vtk_lagrange_order,
    write_mesh,
    write_vtkhdf,
)
from gemel.meshes.orders import LAGRANGE_CELLS


def _opened(path, mode="r") -> Any:
    """A file of h5py, whose stubs do not tell groups from datasets."""
    return h5py.File(path, mode)


# Nodes of basix in the order of the parametric coordinates of VTK 9.7's cells, as these give them.
VTK_ORDERS = {
    ("interval", 3): [0, 1, 2, 3],
    ("triangle", 2): [0, 1, 2, 5, 3, 4],
    ("triangle", 3): [0, 1, 2, 7, 8, 3, 4, 6, 5, 9],
    ("quadrilateral", 2): [0, 1, 3, 2, 4, 6, 7, 5, 8],
    ("quadrilateral", 3): [0, 1, 3, 2, 4, 5, 8, 9, 10, 11, 6, 7, 12, 13, 14, 15],
    ("tetrahedron", 2): [0, 1, 2, 3, 9, 6, 8, 7, 5, 4],
    ("tetrahedron", 3): [0, 1, 2, 3, 14, 15, 8, 9, 13, 12, 10, 11, 6, 7, 4, 5, 18, 16, 17, 19],
    ("hexahedron", 2): [
        *[0, 1, 3, 2, 4, 5, 7, 6, 8, 11, 13, 9, 16, 18, 19, 17, 10, 12, 15, 14],
        *[22, 23, 21, 24, 20, 25, 26],
    ],
    ("hexahedron", 3): [
        *[0, 1, 3, 2, 4, 5, 7, 6, 8, 9, 14, 15, 18, 19, 10, 11, 24, 25, 28, 29, 30, 31, 26, 27],
        *[12, 13, 16, 17, 22, 23, 20, 21, *range(40, 48), *range(36, 40), *range(48, 52), *range(32, 36)],
        *range(52, 64),
    ],
    ("prism", 2): [0, 1, 2, 3, 4, 5, 6, 9, 7, 12, 14, 13, 8, 10, 11, 15, 17, 16],
    ("prism", 3): [
        *[0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 9, 8, 18, 19, 22, 23, 21, 20, 10, 11, 14, 15, 16, 17],
        *[24, 37, 25, 26, 27, 28, 33, 34, 35, 36, 30, 29, 32, 31, 38, 39],
    ],
}


@pytest.mark.parametrize(("cell_type", "degree"), VTK_ORDERS)
def test_nodes_of_lagrange_cells_are_those_of_vtk(cell_type, degree):
    np.testing.assert_array_equal(vtk_lagrange_order(cell_type, degree), VTK_ORDERS[cell_type, degree])


def _mixed():
    flat = Mesh(
        rectangle(3, 1, size=(3.0, 1.0)).points,
        (
            CellBlock("quadrilateral", np.array([[0, 1, 4, 5], [1, 2, 5, 6]])),
            CellBlock("triangle", np.array([[2, 3, 6], [3, 7, 6]])),
        ),
        cell_tags={"some cells": np.array([1, 3])},
        node_tags={"corner": np.array([0])},
    )
    return extrude(flat.tag_facets("right", lambda x: x[:, 0] > 2.999), 2, 1.0)


def test_the_structure_of_a_file(tmp_path):
    path = tmp_path / "m.vtkhdf"
    mesh = _mixed()
    write_vtkhdf(path, mesh, {"u": np.ones((mesh.n_points, 3))}, {"q": np.arange(mesh.n_cells)})
    with _opened(path) as file:
        root = file["VTKHDF"]
        assert root.attrs["Type"] == b"UnstructuredGrid"
        assert root.attrs["Version"].tolist() == [2, 0]
        assert root["Types"][()].tolist() == [12] * 4 + [13] * 4
        assert np.diff(root["Offsets"]).tolist() == [8] * 4 + [6] * 4
        assert (root["NumberOfConnectivityIds"][0], len(root["Connectivity"])) == (56, 56)
        assert root["Connectivity"][:8].tolist() == [0, 1, 5, 4, 8, 9, 13, 12]
        assert root["PointData/u"].shape == (24, 3)
        assert "Steps" not in root
    assert [file.name for file in tmp_path.iterdir()] == ["m.vtkhdf"]


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("cell_type", ["interval", "triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"])
@pytest.mark.parametrize("extension", [".vtkhdf", ".vtu", ".vtk"])
def test_cells_of_every_degree_survive_a_round_trip(tmp_path, extension, cell_type, degree):
    points = np.array(coordinate_element(cell_type, degree).points)
    if points.shape[1] > 1:
        points[:, 1] += 0.2 * points[:, 0] ** degree
    mesh = Mesh.of(points, np.arange(len(points))[None], cell_type, degree=degree)
    path = tmp_path / f"m{extension}"
    (write_vtkhdf if extension == ".vtkhdf" else write_mesh)(path, mesh)
    again = read_mesh(path, dim=1 if cell_type == "interval" else None)
    assert again.degree == degree
    np.testing.assert_allclose(np.asarray(again.points)[np.asarray(again.cells)], points[None], atol=1e-15)


@pytest.mark.parametrize(
    ("extension", "order"),
    [(".vtu", [0, 2, 1, 3, 5, 4]), (".vtk", [0, 2, 1, 3, 5, 4]), (".xdmf", [0, 1, 2, 3, 4, 5])],
)
def test_wedges_are_written_as_the_readers_of_vtk_take_them(tmp_path, extension, order):
    # VTK 9.7 reads the first two with nodes 1 and 2, 4 and 5 exchanged, and turns a wedge written otherwise inside out.
    points = np.array(coordinate_element("prism", 1).points)
    path = tmp_path / f"m{extension}"
    write_mesh(path, Mesh.of(points, np.arange(6)[None], "prism"))
    assert meshio.read(path).cells[0].data.tolist() == [order]


@pytest.mark.parametrize("cell_type", ["triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"])
def test_quadratic_lagrange_cells_of_others_are_read(tmp_path, cell_type):
    names = {name: kind for kind, name in LAGRANGE_CELLS.items()}
    points = np.array(coordinate_element(cell_type, 2).points)
    rows = vtk_lagrange_order(cell_type, 2)[None]
    space = np.column_stack([points, np.zeros((len(points), 3 - points.shape[1]))])
    path = tmp_path / "m.vtu"
    meshio.write(path, meshio.Mesh(space, [(f"VTK_LAGRANGE_{names[cell_type]}", rows)]))
    mesh = read_mesh(path)
    assert (mesh.cell_type, mesh.degree) == (cell_type, 2)
    np.testing.assert_allclose(np.asarray(mesh.points)[np.asarray(mesh.cells)[0]], points)


def test_tags_survive_a_round_trip(tmp_path):
    mesh, path = _mixed(), tmp_path / "m.vtkhdf"
    write_vtkhdf(path, mesh, {"T": np.zeros((3, mesh.n_points))}, times=[0.0, 1.0, 2.0])
    again = read_mesh(path)
    assert [block.cell_type for block in again.blocks] == ["hexahedron", "prism"]
    np.testing.assert_array_equal(again.cells_of("some cells"), np.sort(mesh.cells_of("some cells")))
    for name in ("right", "lower", "upper"):
        np.testing.assert_array_equal(again.facets(name), np.unique(np.asarray(mesh.facets(name)), axis=0))
    np.testing.assert_array_equal(again.nodes_of("corner"), mesh.nodes_of("corner"))
    beam = frame([[0.0, 0.0], [1.0, 1.0]], [[0, 1]], 3, joint_tags={"foot": [0]})
    write_vtkhdf(path, beam)
    np.testing.assert_array_equal(read_mesh(path, dim=2).facets("foot"), [[0, 0]])


class _Lazy:
    """An array that may be asked for one time only."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.asked = values, values.shape, values.dtype, []

    def __getitem__(self, step):
        self.asked.append(step)
        return self.values[step]


def test_a_series_is_read_by_its_offsets(tmp_path):
    mesh = rectangle(3, 2).tag_cells("low", lambda x: x[:, 1] < 0.5)
    rng = np.random.default_rng(0)
    times = np.array([0.0, 0.5, 2.0, 3.0])
    displacement, stress = rng.normal(size=(4, 12, 2)), rng.normal(size=(4, 6, 2, 2))
    lazy, path = _Lazy(rng.normal(size=(4, 12))), tmp_path / "run.vtkhdf"
    write_vtkhdf(path, mesh, {"u": displacement, "T": lazy}, {"s": stress, "on": stress[..., 0, 0] > 0}, times=times)
    assert lazy.asked == [0, 1, 2, 3]
    with _opened(path) as file:
        root, steps = file["VTKHDF"], file["VTKHDF/Steps"]
        assert steps.attrs["NSteps"] == 4
        np.testing.assert_array_equal(steps["Values"], times)
        for step in range(4):
            assert (steps["PointOffsets"][step], steps["CellOffsets"][step, 0], steps["PartOffsets"][step]) == (0, 0, 0)
            first = steps["PointDataOffsets/u"][step]
            found = root["PointData/u"][first : first + 12]
            np.testing.assert_array_equal(found, np.column_stack([displacement[step], np.zeros(12)]))
            np.testing.assert_array_equal(root["PointData/T"][first : first + 12], lazy.values[step])
            first = steps["CellDataOffsets/s"][step]
            tensor = root["CellData/s"][first : first + 6].reshape(6, 3, 3)
            np.testing.assert_array_equal(tensor[:, :2, :2], stress[step])
            assert (tensor[:, 2] == 0).all()
            first = steps["CellDataOffsets/gemel:cells:low"][step]
            assert root["CellData/gemel:cells:low"][first : first + 6].tolist() == [1, 1, 1, 0, 0, 0]
        assert root["CellData/on"].dtype == np.uint8


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"point_data": {"u": np.zeros(3)}}, r"point data 'u' have shape \(3,\), but must begin with \(9,\)"),
        ({"cell_data": {"u": np.zeros((2, 9))}, "times": [0.0, 1.0]}, r"must begin with \(2, 4\)"),
        ({"point_data": {"u": np.zeros(9, complex)}}, "have the type complex128"),
        ({"point_data": {"a/b": np.zeros(9)}}, "cannot be called 'a/b'"),
        ({"point_data": {"gemel:a": np.zeros(9)}}, "cannot be called 'gemel:a'"),
        ({"times": [0.0, 0.0]}, "finite, increasing numbers"),
        ({"times": []}, "finite, increasing numbers"),
    ],
)
def test_what_is_refused_leaves_what_was_there(tmp_path, arguments, sentence):
    path = tmp_path / "m.vtkhdf"
    path.write_bytes(b"before")
    with pytest.raises(MeshError, match=sentence):
        write_vtkhdf(path, rectangle(2, 2), **arguments)
    assert path.read_bytes() == b"before"


def test_a_field_that_fails_half_way_leaves_what_was_there(tmp_path):
    class Broken(_Lazy):
        def __getitem__(self, step):
            if step:
                raise OSError("gone")
            return self.values[0]

    path = tmp_path / "m.vtkhdf"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="gone"):
        write_vtkhdf(path, rectangle(2, 2), {"T": Broken(np.zeros((2, 9)))}, times=[0.0, 1.0])
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["m.vtkhdf"]


def test_places_that_are_refused(tmp_path):
    with pytest.raises(MeshError, match=r"extension must be \.vtkhdf"):
        write_vtkhdf(tmp_path / "m.h5", rectangle(1, 1))
    with pytest.raises(MeshError, match=r"folder .* does not exist"):
        write_vtkhdf(tmp_path / "no" / "m.vtkhdf", rectangle(1, 1))
    cubic = np.array(coordinate_element("triangle", 3).points)
    mesh = Mesh.of(cubic, np.arange(10)[None], "triangle", degree=3)
    with pytest.raises(MeshError, match=r"cells of degree 3 need a \.vtu, \.vtk or \.vtkhdf file"):
        write_mesh(tmp_path / "m.msh", mesh)
    path = tmp_path / "other.vtkhdf"
    with h5py.File(path, "w") as file:
        file.create_group("VTKHDF").attrs["Type"] = np.bytes_("ImageData")
    with pytest.raises(MeshError, match="no VTKHDF file of an unstructured grid"):
        read_mesh(path)
    write_vtkhdf(path, box(1, 1, 1))
    with _opened(path, "a") as file:
        file["VTKHDF/Types"][0] = 14
    with pytest.raises(MeshError, match="VTK's cell type 14 is not supported"):
        read_mesh(path)
