"""Fields in files: what is read back is the function at the points, in every degree and at every time."""

import numpy as np
import pytest

import gemel as gm


@pytest.mark.parametrize(("element", "degree"), [("P1", 1), ("P2", 2), ("P3", 3)])
def test_a_field_in_time_is_read_back_at_its_points(element, degree, tmp_path):
    space = gm.FunctionSpace(gm.rectangle(2, 2, cell="triangle"), element, (2,))
    times = [0.0, 1.0, 2.0]
    x = np.asarray(space.nodes())
    values = np.stack([np.stack([x[:, 0] ** degree + t, x[:, 1] * t], axis=1) for t in times])
    gm.write_fields(tmp_path / "run.vtkhdf", space, values, times, name="velocity")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "run.vtkhdf") as file:
        root = file["VTKHDF"]
        points, field = np.asarray(root["Points"]), np.asarray(root["PointData/velocity"])
    field = field.reshape(3, len(points), 3)
    assert len(points) == space.n_nodes
    for row, t in zip(field, times, strict=True):
        np.testing.assert_allclose(row[:, 0], points[:, 0] ** degree + t, atol=1e-12)
        np.testing.assert_allclose(row[:, 1], points[:, 1] * t, atol=1e-12)


def test_several_fields_and_constants_in_cells(tmp_path):
    mesh = gm.rectangle(2, 1)
    temperature = gm.FunctionSpace(mesh, "Q1")
    space = gm.MixedSpace({"T": temperature, "k": gm.FunctionSpace(mesh, "DQ0"), "m": gm.RealSpace(1)})
    values = {"T": np.asarray(temperature.nodes())[:, 0], "k": np.array([1.0, 2.0]), "m": np.zeros((1, 1))}
    gm.write_fields(tmp_path / "out.vtu", space, values)
    meshio = pytest.importorskip("meshio")
    raw = meshio.read(tmp_path / "out.vtu")
    np.testing.assert_allclose(raw.point_data["T"], raw.points[:, 0], atol=1e-15)
    np.testing.assert_allclose(raw.cell_data["k"][0], [1.0, 2.0])


def test_mistakes_are_named(tmp_path):
    space = gm.FunctionSpace(gm.rectangle(1, 1), "Q1")
    with pytest.raises(ValueError, match=r"'u' has shape \(3,\), but 4 nodes are needed first"):
        gm.write_fields(tmp_path / "a.vtu", space, np.zeros(3))
    with pytest.raises(ValueError, match="several times go into a file with the extension"):
        gm.write_fields(tmp_path / "a.vtu", space, np.zeros((2, 4)), [0.0, 1.0])
    with pytest.raises(ValueError, match="extension must be one of"):
        gm.write_fields(tmp_path / "a.txt", space, np.zeros(4))
    assert not list(tmp_path.iterdir())
