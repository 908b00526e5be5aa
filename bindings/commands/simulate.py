"""``gemel simulate``."""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp

from gemel.bindings.commands import common
from gemel.bindings.commands.beliefs import believed
from gemel.bindings.commands.telling import working
from gemel.bindings.report import plot_forecast, reading_table
from gemel.engine import Forecast, Run, simulate
from gemel.engine.extrapolation import with_warnings
from gemel.engine.results import save_run
from gemel.engine.store.runs import require_replaceable

_PICTURES = (".png", ".svg", ".pdf", ".jpg")


@dataclass(frozen=True)
class SimulateOptions:
    """The options of the command, as typed."""

    drive: common.DriveOptions
    set: list[str]
    belief: Path | None
    out: Path | None
    plot: Path | None


def run(path: Path, options: SimulateOptions) -> None:
    """Simulate a twin and show its readings. Raises `SolveError` where the solve fails."""
    if options.plot is not None and options.plot.suffix.lower() not in _PICTURES:
        raise ValueError(f"--plot: '{options.plot}' is no picture: it may end in {' or '.join(_PICTURES)}.")
    file, twin = common.load(path)
    out = options.out or Path("runs") / file.name / "run.zarr"
    require_replaceable(out)
    drive = common.drive(file, twin, options.drive)
    belief = believed(twin, options.belief, Path(), options.drive.experiment)
    twin = belief.twin
    values = common.parameter_values(file, twin, options.set)
    with working("Simulating …"):
        result = with_warnings(twin, simulate(twin, drive.inputs, drive.times, values), belief.ranges)
        status = result.status.worst()
    save_run(out, result)
    common.console.print(reading_table(twin, result))
    common.show_pairs(twin, result)
    common.show_warnings(result)
    common.console.print(f"Run written to {out}")
    if options.plot is not None:
        plot_forecast(options.plot, twin, _without_band(result), drive.record)
        common.console.print(f"Picture written to {options.plot}")
    if status != 0:
        from gemel.solvers import SolveError

        raise SolveError(f"The simulation failed: {status.message}")


def _without_band(result: Run) -> Forecast:
    nothing = {name: jnp.zeros_like(values) for name, values in result.readings.items()}
    return Forecast(result, nothing, nothing, nothing, nothing)
