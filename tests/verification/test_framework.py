"""The framework: what counts as passed, broken cases, missing programs, the table, the manual, the command."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gemel.bindings import cli
from gemel.bindings.commands import verify
from gemel.engine.verification import CASES, Case, Check, needs, recorded, records, rows, run_case, select, write_manual
from gemel.engine.verification.case import CHAPTERS, absolute, bound, count, order, relative
from gemel.engine.verification.runner import run_cases, summarise

Gemel = Callable[..., tuple[str, str]]


def made(*checks: Check, name: str = "made-up", run: Callable[[], Sequence[Check]] | None = None, **more) -> Case:
    return Case(name, "heat", "A title", "$$ a = b $$", "a set-up", "a source", run or (lambda: checks), **more)


def broken() -> Sequence[Check]:
    raise ValueError("The mesh has no facet tag 'up'.")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (relative("x", 2.0, 2.0019, 1e-3), relative("x", 2.0, 2.0021, 1e-3)),
        (relative("x", -2.0, -2.0019, 1e-3), relative("x", -2.0, 2.0, 1e-3)),
        (absolute("x", 0.0, -0.09, 0.1), absolute("x", 0.0, -0.11, 0.1)),
        (order("x", 2.0, 1.81), order("x", 2.0, 1.79)),
        (order("x", 2.0, 3.5), order("x", 2.0, math.inf)),
        (bound("x", 5.0, 5.0), bound("x", 5.0, 5.0001)),
        (bound("x", 5.0, -5.0), bound("x", 5.0, -math.inf)),
        (count("x", 6, 6), count("x", 6, 5)),
        (relative("x", 1.0, 1.0, 0.1), relative("x", 1.0, math.nan, 0.1)),
        (relative("x", 0.0, 0.0, 0.1), relative("x", 0.0, 1e-30, 0.1)),
    ],
)
def test_what_passes(good: Check, bad: Check) -> None:
    assert good.passed
    assert not bad.passed


def test_one_bad_check_fails_a_case() -> None:
    good, bad = absolute("x", 1.0, 1.0, 0.1), absolute("y", 1.0, 2.0, 0.1)
    assert run_case(made(good)).state == "passed"
    assert run_case(made(good, bad)).state == "failed"
    assert [row.verdict for row in rows(run_case(made(good, bad)))] == ["yes", "no"]


def test_a_case_that_compares_nothing_fails() -> None:
    assert run_case(made()).state == "failed"


def test_a_crash_is_a_failed_row_and_the_others_run() -> None:
    outcomes = list(run_cases([made(run=broken, name="a"), made(absolute("x", 1.0, 1.0, 0.1), name="b")]))
    assert [outcome.state for outcome in outcomes] == ["failed", "passed"]
    (row,) = rows(outcomes[0])
    assert row.quantity == "ValueError: The mesh has no facet tag 'up'."
    assert row.verdict == "no"
    assert summarise(outcomes).sentence.endswith("1 passed, 1 failed, 0 not run.")


@pytest.mark.slow
def test_cases_in_other_processes_come_back_in_their_order():
    chosen = select(["pendulum", "rigid-triangle-p1", "arenstorf"], None, slow=True)
    apart, here = list(run_cases(chosen, 2)), list(run_cases(chosen))
    assert [outcome.case.name for outcome in apart] == [case.name for case in chosen]
    assert [outcome.state for outcome in apart] == ["passed"] * 3
    np.testing.assert_allclose(
        [check.computed for outcome in apart for check in outcome.checks],
        [check.computed for outcome in here for check in outcome.checks],
        rtol=1e-9,
        atol=1e-15,
    )


def test_a_missing_program_is_named_and_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(needs.NEEDS, "scikit-fem", lambda: False)
    outcome = run_case(made(absolute("x", 1.0, 1.0, 0.1), needs=("scikit-fem",)))
    assert outcome.state == "not run"
    assert rows(outcome)[0].quantity == "not run: scikit-fem is not installed"
    assert rows(outcome)[0].verdict == "-"
    assert records([outcome])[0]["checks"] == []


def test_the_cases_are_well_formed() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert list(dict.fromkeys(case.group for case in CASES)) == [key for key in CHAPTERS if key in select_groups()]
    for case in CASES:
        assert case.name == case.name.lower().replace(" ", "-"), case.name
        assert not case.title.endswith("."), case.name
        assert case.setup.endswith("."), case.name
        assert set(case.needs) <= set(needs.NEEDS), case.name


def select_groups() -> set[str]:
    return {case.group for case in CASES}


def test_selecting() -> None:
    fast, every = select(), select(slow=True)
    assert not any(case.slow for case in fast)
    assert every == CASES
    one = CASES[0]
    assert select([one.name]) == (one,)
    assert all(case.group == one.group for case in select(group=one.group))
    with pytest.raises(ValueError, match=rf"no case 'nope': the cases are {one.name}, "):
        select(["nope"])
    with pytest.raises(ValueError, match="no group 'nope': the groups are heat"):
        select(group="nope")
    other = CASES[-1]
    with pytest.raises(ValueError, match=f"'{one.name}' belongs to the group '{one.group}', not '{other.group}'"):
        select([one.name], other.group)


def test_the_manual_can_be_read_back() -> None:
    check = relative("p | q", 2.0, 2.1, 1e-3, "MPa")
    outcomes = [run_case(made(check)), run_case(made(run=broken, name="b", slow=True))]
    text = write_manual(outcomes)
    assert recorded(text)["made-up", "p | q"] == ("2 MPa", "0.001 of it")
    assert recorded(text)["b", "ValueError: The mesh has no facet tag 'up'."] == ("", "")
    assert "0 passed, 2 failed" in text
    for part in ("$$ a = b $$", "Set-up: a set-up", "Source: a source", "Slow: run with `--all`."):
        assert part in text


@pytest.fixture
def gemel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gemel:
    """Calls the command line in this process and a folder of its own; returns what it wrote."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["gemel", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        assert ended.value.code == code, written
        return written.out, written.err

    return call


def test_the_command_prints_the_table_and_writes_the_results(gemel: Gemel, tmp_path: Path) -> None:
    out, _ = gemel("verify", "--case", "nafems-t2", "--json", "v.json")
    assert "927 K" in out
    assert "NAFEMS, The Standard NAFEMS Benchmarks" in out
    assert "1 cases with 2 checks" in out
    assert "1 passed, 0 failed, 0 not run." in out
    found = json.loads((tmp_path / "v.json").read_text())
    assert found["summary"]["passed"] == 1
    assert found["cases"][0]["checks"][0]["reference"] == 927.0
    assert found["cases"][0]["checks"][0]["passed"] is True


def test_a_failing_case_ends_with_1(gemel: Gemel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = (made(absolute("x", 1.0, 2.0, 0.1, "K"), name="off"), made(run=broken, name="broken"))
    monkeypatch.setattr(verify, "select", lambda *_, **__: cases)
    out, _ = gemel("verify", "--json", "v.json", "--write", "manual.md", code=1)
    assert "0 passed, 2 failed, 0 not run." in out
    assert "no facet tag 'up'" in out
    assert [case["state"] for case in json.loads((tmp_path / "v.json").read_text())["cases"]] == ["failed", "failed"]
    assert ("off", "x") in recorded((tmp_path / "manual.md").read_text())


def test_the_list(gemel: Gemel) -> None:
    out, _ = gemel("verify", "--list")
    for case in CASES:
        assert case.name in out
        assert case.title in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--case", "nope"], "There is no case 'nope': the cases are composite-wall, "),
        (["--group", "nope"], "There is no group 'nope': the groups are heat, "),
        (["--write", "m.md", "--group", "heat"], "--write: the manual holds every case: leave --case and --group out."),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], sentence: str, gemel: Gemel, tmp_path: Path) -> None:
    _, told = gemel("verify", *arguments, code=2)
    assert told.startswith(f"gemel: {sentence}")
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())
