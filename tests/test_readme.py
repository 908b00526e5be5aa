"""Every snippet of the README runs, in the order in which it stands."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)

NUMBER = re.compile(r"(?<![A-Za-z^])\b\d[\d.]*(?:e[-+]\d+)?")


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    source = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PATH": path, "PYTHONPATH": source, "JAX_PLATFORMS": "cpu", **more}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A folder that looks like a clone, in which snippets may write."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("examples", "bindings"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(code: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    return output.getvalue()


@pytest.mark.slow
def test_the_python_quick_start_prints_what_the_readme_says(clone, monkeypatch):
    monkeypatch.chdir(clone)
    snippets, printed = blocks("python"), blocks("text")
    code = "\n".join(snippet for snippet in snippets if "gm.Client" not in snippet)
    lines = run(code).splitlines()
    promised = [line for text in printed[1:] for line in text.splitlines()]
    assert len(lines) == len(promised) == 4
    for line, promise in zip(lines, promised, strict=True):
        assert NUMBER.sub("#", line) == NUMBER.sub("#", promise)
        found, said = ([float(number) for number in NUMBER.findall(text)] for text in (line, promise))
        assert found == pytest.approx(said, rel=2e-3)


def test_the_toml_snippet_is_a_part_of_the_example():
    (snippet,) = blocks("toml")
    example = tomllib.loads((ROOT / "examples/cantilever/twin.toml").read_text())

    def contained(part, whole, path=""):
        for key, value in part.items():
            assert key in whole, f"{path}{key}"
            if isinstance(value, dict):
                contained(value, whole[key], f"{path}{key}.")
            else:
                assert whole[key] == value, f"{path}{key}"

    contained(tomllib.loads(snippet), example)


def test_the_make_targets_exist():
    listed = subprocess.run(["make", "-n", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert listed
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE) + re.findall(r"`make (\w+)`", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.fixture(scope="module")
def served(clone: Path) -> Iterator[Path]:
    """`gemel serve` as the README starts it."""
    (command,) = [text.strip() for text in blocks("sh") if "gemel serve" in text]
    process = subprocess.Popen(
        command.split(), cwd=clone, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert "listens on" in process.stdout.readline()
    yield clone
    process.terminate()
    process.communicate(timeout=60)


@pytest.mark.slow
def test_the_shell_snippets_run(clone: Path):
    (snippet,) = [text for text in blocks("sh") if "gemel calibrate" in text]
    for command in snippet.splitlines():
        done = subprocess.run(
            command, shell=True, cwd=clone, env=environment(), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_client_snippets_run_against_the_server(served: Path):
    (client,) = [snippet for snippet in blocks("python") if "gm.Client" in snippet]
    done = subprocess.run(
        [sys.executable, "-c", client],
        cwd=served,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "clamp" in done.stdout

    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed: the JavaScript snippet was not run")
    packages = ["@grpc/grpc-js", "@grpc/proto-loader"]
    fetched = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", *packages], cwd=served, capture_output=True, text=True
    )
    if fetched.returncode:
        pytest.skip("npm could not fetch the gRPC packages: the JavaScript snippet was not run")
    (script,) = blocks("js")
    done = subprocess.run(
        ["node", "-e", script], cwd=served, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\[\s*6\.\d+,\s*4[1-3]\.\d+,\s*1[12]\d\.\d+\s*\]", done.stdout), done.stdout
