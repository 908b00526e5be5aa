"""``gemel forecast``."""

from dataclasses import dataclass
from pathlib import Path

from gemel.bindings.commands import common
from gemel.bindings.report import comparison_table, plot_forecast, reading_table
from gemel.engine import forecast
from gemel.engine.results import comparison_figures, save_json, save_run
from gemel.solvers import SolveError


@dataclass(frozen=True)
class ForecastOptions:
    """The options of the command, as typed."""

    until: str | None
    every: str | None
    data: Path | None
    input: list[str]
    belief: Path | None
    out: Path | None


def run(path: Path, options: ForecastOptions) -> None:
    """Forecast a twin with its credible band. Raises `SolveError` where the solve fails."""
    until, every = common.seconds("--until", options.until), common.seconds("--every", options.every)
    file, twin = common.load(path)
    folder = Path("runs") / file.name
    out = options.out or folder / "forecast"
    twin, source = common.believed(twin, options.belief, folder / "belief.json")
    common.console.print(f"Belief: {source or 'the prior (no calibration found)'}")
    record = common.optional_record(file, options.data)
    inputs = common.input_signals(file, record, options.input)
    times = common.instants(twin, record, until, every)
    with common.console.status("Forecasting …"):
        result = forecast(twin, inputs, times)
        status = result.run.status.worst()
    out.mkdir(parents=True, exist_ok=True)
    save_run(out / "run.zarr", result)
    common.console.print(reading_table(twin, result.run))
    if record is not None and every is None and not options.input:
        measured = record if until is None or record.times is None else record.between(float(record.times[0]), until)
        figures = comparison_figures(result, measured)
        save_json(out / "figures.json", figures)
        common.console.print(comparison_table(twin, figures))
        plot_forecast(out / "forecast.png", twin, result, measured)
    else:
        plot_forecast(out / "forecast.png", twin, result)
    common.console.print(f"Written to {out}: run.zarr, forecast.png")
    if status != 0:
        raise SolveError(f"The forecast failed: {status.message}")
