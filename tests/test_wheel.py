"""The wheel holds the whole library: the quick start of the README runs from it in an empty environment."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"  # a copy: a build leaves files beside what it builds
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("engine", "solvers", "meshes", "bindings", "src"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        if shutil.which("uv") is None:
            pytest.skip("neither pip nor uv is installed")
        command = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = out.glob("gemel-*.whl")
    return path


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {name for name in names if name.endswith(".py")}
    expected = {
        f"gemel/{path.relative_to(ROOT).as_posix()}"
        for folder in ("engine", "solvers", "meshes", "bindings")
        for path in (ROOT / folder).rglob("*.py")
        if (path.parent / "__init__.py").exists()
    }
    facade = {f"gemel/{path.name}" for path in (ROOT / "src/gemel").glob("*.py")}
    assert modules == expected | facade | {"gemel_command.py"}
    assert "gemel/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not any("tests" in name or "benchmarks" in name for name in names)


@pytest.mark.slow
def test_the_quick_start_runs_from_the_wheel(wheel: Path, tmp_path: Path):
    """A new environment into which the wheel is installed; it borrows the dependencies of this one, and not gemel."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", str(wheel)]
    subprocess.run([str(environment / "bin/python"), *install], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(f"{Path(jax.__file__).parents[1]}\n")  # links inside it are not followed
    quick_start = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(environment / "bin/python"), "-c", "import gemel; print(gemel.__file__)\n" + quick_start],
        cwd=tmp_path,
        env={**clean, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    where, prediction, *_ = done.stdout.splitlines()
    assert str(tmp_path) in where
    assert prediction.startswith("f3 = 117.")
