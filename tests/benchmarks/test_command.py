"""The benchmark command: one small row from end to end, and its answers to mistakes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks import cli, environments, runner
from benchmarks.cases import CASES
from benchmarks.odes import ensemble
from benchmarks.peers import PEERS, Peer

ROOT = Path(__file__).resolve().parents[2]


def bench(*options: str) -> Result:
    return CliRunner().invoke(cli.app, list(options))


@pytest.fixture
def bare(monkeypatch):
    """A machine without peers and without a GPU."""
    monkeypatch.setattr(environments, "installed", lambda peer: False)
    monkeypatch.setattr(runner, "has_gpu", lambda: False)


@pytest.mark.slow
def test_the_smallest_row_is_measured_appended_and_shown(tmp_path):
    out = tmp_path / "new" / "rows.jsonl"
    done = bench("run", "poisson-hex", "--size", "4", "--repeat", "1", "--peers", "none", "--json", "--out", str(out))
    assert done.exit_code == 0, done.output
    (line,) = out.read_text().splitlines()
    assert done.stdout.splitlines() == [line]
    row = json.loads(line)
    assert (row["code"], row["unknowns"], row["tolerance"], row["device"]) == ("gemel", 125, 1e-8, "cpu")
    assert row["iterations"] > 0
    assert row["error"] == pytest.approx(0.18, rel=0.3)  # the interpolation error of so coarse a mesh
    assert {"mesh_s", "plan_s", "preconditioner_s", "compile_s", "assemble_s", "solve_s"} <= set(row)
    assert str(ROOT) not in line


@pytest.mark.slow
def test_an_ensemble_is_solved_to_the_errors_that_are_allowed(tmp_path):
    out = tmp_path / "rows.jsonl"
    done = bench("run", "robertson", "--size", "4", "--repeat", "1", "--peers", "none", "--out", str(out))
    assert done.exit_code == 0, done.output
    row = json.loads(out.read_text())
    assert row["error_median"] <= ensemble("robertson", 4).allowed[0]
    assert row["error_max"] <= ensemble("robertson", 4).allowed[1]
    assert {"forward_s", "gradient_s", "slope"} <= set(row)
    assert not {"cell", "element", "tolerance"} & set(row)


def test_a_row_beyond_its_limit_is_a_row_that_says_so(tmp_path):
    out = tmp_path / "rows.jsonl"
    done = bench("run", "transient", "--size", "2", "--peers", "none", "--limit", "0.01", "--out", str(out))
    assert done.exit_code == 1
    assert done.stdout == "transient 2 gemel failed: not done after 0.01 s\n"
    assert json.loads(out.read_text())["failed"] == "not done after 0.01 s"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["run", "stokes"], "CASE 'stokes' is unknown: choose from poisson-hex, "),
        (["run", "--size", "1"], "--size '1' must be a whole number, at least 2."),
        (["run", "--size", "8,,9"], "--size '' must be a whole number, at least 2."),
        (["run", "--repeat", "many"], "--repeat 'many' must be a whole number, at least 1."),
        (["run", "--limit", "0"], "--limit '0.0' must be positive."),
        (["run", "--peers", "fenix"], "--peers 'fenix' is unknown: choose from scikit-fem, "),
        (
            ["run", "--peers", "tatva"],
            "--peers 'tatva' is not installed: run 'python -m benchmarks setup tatva'.",
        ),
        (["run", "--device", "tpu"], "--device 'tpu' is unknown: choose from cpu, gpu."),
        (["run", "--device", "gpu"], "--device 'gpu': JAX finds no GPU here; "),
        (["report", "nowhere.jsonl"], "FILE 'nowhere.jsonl' cannot be read: No such file or directory."),
        (["report", "README.md"], "FILE 'README.md' is not a file of results."),
        (["setup", "abaqus"], "PEER 'abaqus' is unknown: choose from scikit-fem, "),
    ],
)
def test_a_mistake_is_one_sentence(options, sentence, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = bench(*options)
    assert done.exit_code == 2
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1


def test_a_peer_is_refused_where_it_has_nothing_to_solve(monkeypatch):
    monkeypatch.setattr(environments, "installed", lambda peer: True)
    monkeypatch.setattr(runner, "has_gpu", lambda: True)
    done = bench("run", "gradient", "--peers", "pymfem")
    assert done.stderr.startswith("--peers 'pymfem' solves none of these cases, but poisson-hex, ")
    assert "is measured on a CPU only" in bench("run", "--device", "gpu", "--peers", "scikit-fem").stderr


@pytest.mark.usefixtures("bare")
def test_the_list_names_cases_peers_and_how_to_install_them():
    text = bench("list").stdout
    assert all(f"\n{name} " in f"\n{text}" for name in (*CASES, *PEERS))
    assert "not installed: python -m benchmarks setup jax-fem" in text


def test_every_peer_has_its_script_its_versions_and_known_cases():
    for peer in PEERS.values():
        folder = ROOT / "benchmarks" / "peers" / peer.folder
        lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
        assert all("==" in line for line in lines)
        assert lines or peer.system
        assert (folder / "solve.py").is_file()
        assert set(peer.cases) <= set(CASES)


@pytest.mark.slow
def test_a_set_up_that_fails_names_its_step(tmp_path, monkeypatch):
    broken = Peer("broken", "", "broken", "broken", (), ())
    folder = tmp_path / "benchmarks" / "peers" / "broken"
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("./nowhere\n")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    monkeypatch.setitem(PEERS, "broken", broken)
    done = bench("setup", "broken")
    assert done.exit_code == 1
    assert done.stderr.startswith("broken: installing benchmarks/peers/broken/requirements.txt failed: ")
    assert len(done.stderr.splitlines()) == 1
    assert not environments.installed(broken)
    monkeypatch.setattr(environments, "DEBIAN", str(tmp_path / "python3"))
    assert bench("setup", "fenicsx").stderr.startswith("fenicsx needs Debian's Python with python3-dolfinx and ")
