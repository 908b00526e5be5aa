"""Several meshes as one."""

import numpy as np
import pytest

from gemel.meshes import MeshError, box, extrude, join, line, rectangle


def test_parts_stay_apart_unless_they_are_welded():
    left, right = rectangle(2, 2), rectangle(2, 2, origin=(1.0, 0.0))
    left = left.with_node_tag("tip", np.array([8]))
    apart = join({"a": left, "b": right})
    assert (apart.n_points, apart.n_cells, len(apart.interior_facets())) == (18, 8, 8)
    assert float(apart.volume("b")) == pytest.approx(1.0)
    assert float(apart.area("bottom")) == pytest.approx(2.0)
    whole = join({"a": left, "b": right}, weld=1e-9)
    assert (whole.n_points, len(whole.interior_facets()), len(whole.boundary_facets())) == (15, 10, 12)
    assert float(whole.area("left")) == pytest.approx(2.0)  # of both parts, one of them inside now
    np.testing.assert_array_equal(whole.nodes_of("tip"), [8])
    np.testing.assert_array_equal(np.asarray(whole.points)[:9], left.points)
    np.testing.assert_array_equal(whole.cells_of("b"), [4, 5, 6, 7])


def test_parts_of_several_types():
    prisms = extrude(rectangle(2, 2, cell="triangle"), 1, 0.5)
    cubes = extrude(rectangle(2, 2, origin=(1.0, 0.0)), 1, 0.5)
    mesh = join({"a": prisms, "b": cubes, "c": box(1, 1, 1, size=(0.1, 0.1, 0.1), origin=(5.0, 0.0, 0.0))}, weld=1e-9)
    assert [block.cell_type for block in mesh.blocks] == ["prism", "hexahedron"]
    assert float(mesh.volume("b")) == pytest.approx(0.5)
    assert float(mesh.volume("c")) == pytest.approx(1e-3)
    assert float(mesh.area("upper")) == pytest.approx(2.0)
    points = np.asarray(mesh.points)
    assert points[mesh.nodes_of_facets("upper"), 2].tolist() == [0.5] * 15


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: join({}), "no parts"),
        (lambda: join({"a": line(1), "b": rectangle(1, 1)}), "part 'b' has the dimension of space 2, but .* has 1"),
        (lambda: join({"a": line(1), "b": line(1).elevated(2)}), "part 'b' has the degree 2, but the first part has 1"),
        (lambda: join({"a": line(1).with_cell_tag("a", np.array([0]))}), "'a' has the name of a cell tag"),
        (lambda: join({"a": line(1)}, weld=-1.0), "distance to weld is -1.0"),
        (lambda: join({"a": rectangle(2, 2)}, weld=0.6), "inverted or degenerate"),
    ],
)
def test_what_is_refused(make, sentence):
    with pytest.raises(MeshError, match=sentence):
        make()
