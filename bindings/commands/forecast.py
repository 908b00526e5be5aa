"""``gemel forecast``."""

from dataclasses import dataclass
from pathlib import Path

from gemel.bindings.commands import common
from gemel.bindings.commands.beliefs import believed
from gemel.bindings.commands.telling import working
from gemel.bindings.page import file_name
from gemel.bindings.pictures import plot_images
from gemel.bindings.report import comparison_table, plot_forecast, reading_table
from gemel.engine import forecast
from gemel.engine.extrapolation import with_warnings
from gemel.engine.results import comparison_figures, save_json, save_run
from gemel.solvers import SolveError


@dataclass(frozen=True)
class ForecastOptions:
    """The options of the command, as typed."""

    drive: common.DriveOptions
    set: list[str]
    belief: Path | None
    out: Path | None


def run(path: Path, options: ForecastOptions) -> None:
    """Forecast a twin with its credible band. Raises `SolveError` where the solve fails."""
    file, twin = common.load(path)
    drive, asked = common.drive(file, twin, options.drive), options.drive
    folder, experiment = Path("runs") / file.name, asked.experiment
    out = common.require_folder(options.out or folder / file_name("forecast", experiment or ""))
    belief = believed(twin, options.belief, folder / "belief.json", experiment)
    belief.show()
    twin = belief.twin
    known = common.known_values(file, twin, options.set)
    with working("Forecasting …"):
        result = with_warnings(twin, forecast(twin, drive.inputs, drive.times, known), belief.ranges)
        status = result.run.status.worst()
    out.mkdir(parents=True, exist_ok=True)
    save_run(out / "run.zarr", result)
    drawn = ["run.zarr", "forecast.png"]
    common.console.print(reading_table(twin, result))
    if asked.input and drive.record is not None and result.run.times is not None:
        common.say(["The run starts from the twin's initial state: with --then it goes on from where the data end."])
    common.show_warnings(result.run)
    if drive.record is not None and asked.every is None and not asked.input:
        measured = drive.record
        figures = comparison_figures(result, measured)
        save_json(out / "figures.json", figures)
        common.console.print(comparison_table(twin, figures))
        plot_forecast(out / "forecast.png", twin, result, measured, verdict=belief.verdict)
        drawn += [picture.name for picture in plot_images(out, twin, result.run, measured).values()]
    else:
        plot_forecast(out / "forecast.png", twin, result, verdict=belief.verdict)
    common.console.print(f"Written to {out}: {', '.join(drawn)}", soft_wrap=True)
    if status != 0:
        raise SolveError(f"The forecast failed: {status.message}")
