"""``gemel demo``: twins of real devices, calibrated on a part of what was measured and judged on the rest."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from gemel.bindings.commands import common
from gemel.bindings.commands.calibrate import fit_with_progress, report
from gemel.bindings.plan import plan_fit
from gemel.engine import Fit, Record, forecast, simulate
from gemel.engine.results import save_json
from gemel.engine.twinfile import MissingDataError, TwinFile
from gemel.names import listed

EXAMPLES = ("cantilever", "heater-board", "cell", "house", "gpu")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One figure that a twin is judged by: on what, how large, and what simpler models reach."""

    twin: str
    on: str
    figure: str
    peers: str


def run_demo(out: Path, only: tuple[str, ...] = (), examples: Path | None = None) -> None:
    """Calibrate and judge the example twins.

    Args:
        out: where results go, one folder a twin.
        only: names of examples; all when empty.
        examples: the folder of examples; that of the repository by default.

    Raises:
        ValueError: for an unknown example, or where the examples are not there.
    """
    folder = _examples_folder(examples)
    unknown = [name for name in only if name not in EXAMPLES]
    if unknown:
        raise ValueError(f"There is no example '{unknown[0]}': the examples are {listed(unknown[0], EXAMPLES)}")
    start = time.perf_counter()
    verdicts: list[Verdict] = []
    for name in only or EXAMPLES:
        common.console.rule(f"[bold]{name}", align="left")
        verdicts += _show(name, folder / name / "twin.toml", out / name)
    common.console.rule("[bold]in short", align="left")
    common.console.print(_summary(verdicts))
    save_json(out / "demo.json", {"verdicts": [dataclasses.asdict(verdict) for verdict in verdicts]})
    common.console.print(f"{time.perf_counter() - start:.0f} s in all; everything is in {out}.", soft_wrap=True)


def _examples_folder(given: Path | None) -> Path:
    candidates = [given] if given else [Path(__file__).resolve().parents[1] / "examples", Path("examples")]
    for folder in candidates:
        if all((folder / name / "twin.toml").is_file() for name in EXAMPLES):
            return folder
    raise ValueError("The example twins are not here: they are in the folder 'examples' of gemel's repository.")


def _show(name: str, path: Path, out: Path) -> list[Verdict]:
    """Calibrate one example, print what came of it, and judge it."""
    file, twin = common.load(path)
    common.console.print(twin.description)
    try:
        record = file.record()
    except MissingDataError as error:
        common.console.print(f"left out: {error}", style="yellow", soft_wrap=True)
        return []
    plan = plan_fit(file, None)
    out.mkdir(parents=True, exist_ok=True)
    fit = fit_with_progress(file, twin, plan, out / "checkpoint.npz", restart=True)
    figures = report(file, fit, plan, out).figures
    if name == "cantilever":
        return _judge_cantilever(fit, record)
    if name in _FREE_RUNS:
        return _judge_free_run(name, figures)
    return _judge_cell(file, fit, figures["validation"])


def _judge_cantilever(fit: Fit, record: Record) -> list[Verdict]:
    """The third frequency, which the fit has not seen. Peer: an ideal clamped Euler-Bernoulli beam."""
    found = float(forecast(fit.twin).run.readings["f3"])
    measured = float(np.asarray(record.readings["f3"]))
    ideal = 127.7
    return [
        Verdict(
            "cantilever",
            "third frequency, not fitted",
            f"{100 * (found / measured - 1):+.2f} %",
            f"ideal clamped beam {100 * (ideal / measured - 1):+.1f} %",
        )
    ]


_FREE_RUNS = {
    "heater-board": (
        "second half",
        {"T1": "two-node balance 1.42 K, last value held 4.92 K", "T2": "two-node balance 1.33 K"},
    ),
    "house": ("last 22 days", {"indoor": "2R2C model 0.82 K, last value held 1.46 K"}),
    "gpu": ("last 170 s", {"die": "one node 1.8 K, last value held 5.9 K", "memory": "one node 2.1 K"}),
}
"""Twins of temperatures that are judged on the end of their record: which end, and what simpler models reach."""


def _judge_free_run(name: str, figures: dict[str, Any]) -> list[Verdict]:
    """The free run over what was not fitted."""
    part, peers = _FREE_RUNS[name]
    return [
        Verdict(name, f"{sensor}, {part}, free run", f"{_held_out(figures, sensor)['rmse']:.2f} K", peer)
        for sensor, peer in peers.items()
    ]


def _judge_cell(file: TwinFile, fit: Fit, validation: dict[str, Any]) -> list[Verdict]:
    """The pulse test, partly fitted, and the discharge, not fitted. Peer: a plain 2-RC circuit."""
    whole = file.record(whole=True)
    run = simulate(fit.twin, whole.inputs, whole.times)
    misfit = np.asarray(run.readings["voltage"]) - np.asarray(whole.readings["voltage"])
    pulses = float(np.sqrt(np.mean(misfit**2)))
    (discharge, *_) = validation["voltage"].values()
    return [
        Verdict("cell", "pulse test, all samples", f"{1e3 * pulses:.1f} mV", "plain 2-RC circuit 12.3 mV"),
        Verdict("cell", "1C discharge, free run", f"{1e3 * discharge['rmse']:.1f} mV", "plain 2-RC circuit 17 mV"),
    ]


def _held_out(figures: dict[str, Any], name: str) -> dict[str, float]:
    return list(figures["sensors"][name].values())[-1]


def _summary(verdicts: list[Verdict]) -> Table:
    table = Table()
    for heading in ("twin", "judged on", "error", "simpler models"):
        table.add_column(heading)
    for verdict in verdicts:
        table.add_row(verdict.twin, verdict.on, verdict.figure, verdict.peers)
    return table
