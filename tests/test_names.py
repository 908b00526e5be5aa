"""The names that stand in the package itself, and what is said where a name is not known."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gemel
from gemel.names import listed, nearest


def test_the_package_has_the_names_that_type_checkers_see():
    tree = ast.parse(Path(str(gemel.__file__)).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {name.name for part in block.body if isinstance(part, ast.ImportFrom) for name in part.names}
    everything: dict[str, object] = {}
    exec("from gemel import *", everything)
    assert (seen - {"*"}) | set(gemel.engine.__all__) == set(gemel.__all__) == set(dir(gemel))
    assert set(gemel.__all__) <= set(everything)
    with pytest.raises(AttributeError, match="module 'gemel' has no attribute 'Elastisity'"):
        _ = gemel.Elastisity  # pyright: ignore[reportAttributeAccessIssue]


def test_nothing_is_loaded_before_it_is_asked_for():
    code = "import sys, gemel, gemel.bindings.cli; print({'jax', 'numpy', 'scipy', 'grpc'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_nearest_name_is_the_one_with_a_slip():
    assert nearest("conductvity", ["conductivity", "capacity"]) == "conductivity"
    assert nearest("TT", ["t", "T"]) == "T"
    assert nearest("kelvin", ["K", "Kelvin"]) == "Kelvin"
    assert nearest("T1", ["T2", "T3"]) is None
    assert nearest("x", []) is None


def test_what_there_is_is_listed_with_the_nearest_at_the_end():
    assert listed("hh", ["h", "k"]) == "h, k. Did you mean 'h'?"
    assert listed("rho", ["h", "k"]) == "h, k."
    assert listed("rho", [], "none at all") == "none at all."
    assert listed("p9", [f"pixel.{i}" for i in range(50)], most=3) == "pixel.0, pixel.1, pixel.2 and 47 more."
