"""What people look at: tables on the terminal and pictures in files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from gemel.engine import Fit, Forecast, Record, Run, Twin
from gemel.engine.units import difference_from_si, difference_unit, from_si, written

MEASURED, TWIN, LINE = "#5f6b7a", "#c2410c", "#1d4ed8"
_WIDTH, _HEIGHT, _BELOW = 9.0, 2.6, 1.5
_EXPLAINED = 15
"""The largest number of parameters that a table still explains."""


def parameter_table(fit: Fit) -> Table:
    """The parameters before and after a calibration, each in its own unit."""
    table = Table(title=f"Parameters of {fit.twin.name}", title_justify="left")
    table.add_column("parameter")
    table.add_column("prior", justify="right")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="center")
    table.add_column("unit")
    table.add_column("determined", justify="right")
    for row in fit.table():
        prior, value, low, high = (number(from_si(value, row.unit)) for value in (row.prior, row.value, *row.interval))
        explained = row.description and len(fit.table()) <= _EXPLAINED
        name = escape(row.name) + (f"\n[dim]{escape(row.description)}[/dim]" if explained else "")
        table.add_row(name, prior, value, f"{low} … {high}", written(row.unit), f"{100 * row.determined:.1f} %")
    for array in fit.arrays():
        table.add_row(array.name, "", f"{array.count} numbers", "", "", f"{100 * array.determined:.1f} %")
    return table


def comparison_table(twin: Twin, figures: dict[str, Any], title: str = "Twin against measurement") -> Table:
    """Root-mean-square errors and coverage by sensor, in the sensors' units."""
    table = Table(title=title, title_justify="left")
    table.add_column("sensor")
    table.add_column("samples")
    table.add_column("RMSE", justify="right")
    table.add_column("inside the 95 % band", justify="right")
    for name, members in twin.grouped(tuple(figures)).items():
        unit = twin.sensor(name).unit
        for part in dict.fromkeys(part for member in members for part in figures[member]):
            found = [figures[member][part] for member in members if part in figures[member]]
            counts = [numbers["samples"] for numbers in found]
            rmse = np.sqrt(np.average([numbers["rmse"] ** 2 for numbers in found], weights=counts))
            coverage = np.average([numbers["coverage"] for numbers in found], weights=counts)
            error = f"{number(difference_from_si(rmse, unit))} {difference_unit(unit)}"
            table.add_row(_labelled(name, members), part.replace("_", " "), error, f"{100 * coverage:.0f} %")
    return table


def _labelled(name: str, members: Sequence[str]) -> str:
    """A sensor, or an image with the number of its pixels."""
    return name if members == (name,) else f"{name} ({len(members)} pixels)"


def value_table(twin: Twin, before: Run, forecast: Forecast, record: Record, fitted: Sequence[str]) -> Table:
    """Readings without time: measured, before and after the calibration, and which were fitted."""
    table = Table(title="Twin against measurement", title_justify="left")
    table.add_column("sensor")
    for heading in ("measured", "before", "after", "95 % interval", "error after"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for image, members in twin.grouped([sensor.name for sensor in twin.sensors]).items():
        if members != (image,):
            kind = "fitted" if members[0] in fitted else "predicted"
            table.add_row(*_image_row(twin, image, members, before, forecast, record), kind)
            continue
        name, sensor = image, twin.sensor(image)
        low, high = forecast.band(name)
        numbers = (before.readings[name], forecast.run.readings[name], low, high)
        old, new, least, most = (number(from_si(np.asarray(value), sensor.unit)) for value in numbers)
        measured, error = "", ""
        if name in record.readings:
            value = float(np.asarray(record.readings[name]))
            measured = number(from_si(value, sensor.unit))
            error = f"{100 * (float(forecast.run.readings[name]) / value - 1):+.2f} %"
        kind = "fitted" if name in fitted else "predicted"
        table.add_row(f"{name} [{written(sensor.unit)}]", measured, old, new, f"{least} … {most}", error, kind)
    return table


def _image_row(
    twin: Twin, image: str, members: Sequence[str], before: Run, forecast: Forecast, record: Record
) -> list[str]:
    """An image without time: the range of each column over its pixels, and the root-mean-square error."""
    unit = twin.sensor(image).unit

    def values(readings: Any) -> np.ndarray:
        return np.asarray([float(np.asarray(readings.get(name, np.nan))) for name in members])

    def span(numbers: np.ndarray) -> str:
        known = from_si(numbers[np.isfinite(numbers)], unit)
        return f"{number(known.min())} … {number(known.max())}" if len(known) else ""

    measured, after = values(record.readings), values(forecast.run.readings)
    off = (after - measured)[np.isfinite(after - measured)]
    rmse = number(difference_from_si(np.sqrt(np.mean(off**2)), unit)) if len(off) else ""
    error = f"RMSE {rmse} {written(difference_unit(unit))}" if rmse else ""
    label = f"{_labelled(image, members)} [{written(unit)}]"
    return [label, span(measured), span(values(before.readings)), span(after), "", error]


def reading_table(twin: Twin, found: Run | Forecast) -> Table:
    """The readings of a run: first, last, least and greatest, or the one there is.

    Of a forecast also the least and the greatest distance from them to the ends of the 95 % band.
    """
    run = found.run if isinstance(found, Forecast) else found
    table = Table(title=f"Readings of {twin.name}", title_justify="left")
    headings = ("value",) if run.times is None else ("first", "last", "least", "greatest")
    table.add_column("sensor")
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("unit")
    if isinstance(found, Forecast):
        table.add_column("95 % band", justify="right")
    for name, members in twin.grouped([sensor.name for sensor in twin.sensors]).items():
        unit = twin.sensor(name).unit
        values = np.stack([np.atleast_1d(from_si(np.asarray(run.readings[one]), unit)) for one in members])
        means = values.mean(axis=0)
        numbers = (means[0], means[-1], values.min(), values.max())[: len(headings)]
        label = name if len(members) == 1 else f"{name} (mean of {len(members)} pixels)"
        band = [_half_width(found, members, unit)] if isinstance(found, Forecast) else []
        table.add_row(label, *(number(value) for value in numbers), written(unit), *band)
    return table


def _half_width(forecast: Forecast, members: Sequence[str], unit: str) -> str:
    """How far the band reaches to either side: the least and the greatest distance, in the unit of differences."""
    far = [np.asarray(forecast.band(one)[1] - forecast.run.readings[one]) for one in members]
    ends = [number(difference_from_si(end, unit)) for end in (np.min(far), np.max(far))]
    return f"± {' … '.join(dict.fromkeys(ends))} {written(difference_unit(unit))}".rstrip()


def plot_forecast(
    path: Path,
    twin: Twin,
    forecast: Forecast,
    record: Record | None = None,
    fitted: Record | None = None,
    verdict: str = "",
) -> None:
    """Draw measured, twin and credible band by sensor into a PNG: up to eight, of an image the pixel in its middle.

    Args:
        path: the PNG.
        twin: whose sensors they are.
        forecast: at the times of the record.
        record: what was measured, if anything was.
        fitted: the part of the record that was fitted, if any.
        verdict: that on the fit, where it is to stand in the title.
    """
    title = "\n".join([twin.description or twin.name, *([f"Its fit was judged: {verdict}"] if verdict else [])])
    if forecast.run.times is None:
        _plot_values(path, twin, forecast, record, title)
    else:
        _plot_series(path, twin, forecast, record, fitted, title)


def _plot_series(
    path: Path, twin: Twin, forecast: Forecast, record: Record | None, fitted: Record | None, title: str
) -> None:
    """For each sensor a panel of readings, and one of what was measured minus the twin with the band about zero."""
    shown = dict(list(one_each(twin).items())[:8])
    times, scale, unit = time_axis(np.asarray(forecast.run.times))
    end = None if fitted is None or fitted.times is None else float(fitted.times[-1]) / scale
    below = [name for name in shown if _has_band(forecast) or len(_measured(record, name)[0])]
    heights = [height for name in shown for height in (_HEIGHT, *([_BELOW] if name in below else []))]
    drawing, rows = figure(len(heights), heights=heights)
    axes = iter(axis for (axis,) in rows)
    for name, label in shown.items():
        sensor, axis = twin.sensor(name), next(axes)
        values = from_si(np.asarray(forecast.run.readings[name]), sensor.unit)
        band = [from_si(np.asarray(side), sensor.unit) for side in forecast.band(name)] if _has_band(forecast) else []
        at, read = _measured(record, name)
        at, read = at / scale, from_si(read, sensor.unit)
        if len(at):
            axis.plot(at, read, ".", color=MEASURED, ms=2.5, label="measured")
        draw_band(axis, times, band)
        axis.plot(times, values, color=TWIN, lw=1.3, label="twin")
        axis.set_ylabel(with_unit(label, sensor.unit))
        if name in below:
            beside = next(axes)
            _draw_difference(beside, times, values, band, at, read, end)
            beside.set_ylabel(with_unit(f"{'measured' if len(at) else 'band'} - twin\n", difference_unit(sensor.unit)))
    for (axis,) in rows:
        if end is not None and end < times[-1]:
            axis.axvline(end, color=LINE, lw=1, ls="--", label="end of the fitted part")
        axis.grid(alpha=0.25)
    rows[0][0].legend(loc="best", fontsize=8, frameon=False, ncols=2)
    rows[0][0].set_title(title, loc="left", fontsize=11)
    rows[-1][0].set_xlabel(f"time [{unit}]")
    save(drawing, path)


def _measured(record: Record | None, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The times and values of the samples of a sensor."""
    if record is None or record.times is None or name not in record.readings:
        return np.zeros(0), np.zeros(0)
    values = np.asarray(record.readings[name], dtype=float)
    known = np.isfinite(values)
    return np.asarray(record.times)[known], values[known]


def draw_band(axis: Any, x: np.ndarray, band: Sequence[np.ndarray]) -> None:
    """A band with edges, which stay visible where it is thinner than a line."""
    if not len(band):
        return
    axis.fill_between(x, *band, color=TWIN, alpha=0.2, linewidth=0, label="95 % band")
    for side in band:
        axis.plot(x, side, color=TWIN, alpha=0.5, lw=0.6)


def draw_far(axis: Any, at: np.ndarray, off: np.ndarray, edge: float) -> None:
    """Triangles at the edge for what is further off."""
    for sign, marker in ((1.0, "^"), (-1.0, "v")):
        there = np.sign(off) == sign
        axis.plot(at[there], np.full(there.sum(), sign * edge), marker, color=LINE, ms=4)


def _draw_difference(
    axis: Any,
    times: np.ndarray,
    values: np.ndarray,
    band: Sequence[np.ndarray],
    at: np.ndarray,
    read: np.ndarray,
    end: float | None,
) -> None:
    """Measured minus twin, the band about zero, and how much of it the band holds; triangles are further off."""
    off, sides = read - np.interp(at, times, values), [side - values for side in band]
    axis.axhline(0.0, color=TWIN, lw=1)
    draw_band(axis, times, sides)
    if not len(at):
        return
    limit = 1.15 * max(np.quantile(np.abs(off), 0.98, method="lower"), *(np.max(np.abs(side)) for side in sides), 0.0)
    far = np.abs(off) > 1.3 * limit
    axis.plot(at[~far], off[~far], ".", color=MEASURED, ms=2.5)
    if far.any():
        draw_far(axis, at[far], off[far], 1.2 * limit)
        axis.set_ylim(-1.3 * limit, 1.3 * limit)
    if sides:
        inside = (off >= np.interp(at, times, sides[0])) & (off <= np.interp(at, times, sides[1]))
        parts = {"": np.isfinite(at)} if end is None else {" fitted": at <= end, " held out": at > end}
        shares = {f" of {part.sum()}{name}": inside[part].mean() for name, part in parts.items() if part.any()}
        said = ", ".join(f"{100 * share:.0f} %{words}" for words, share in shares.items())
        axis.set_title(f"in the band: {said}", loc="right", fontsize=9)


def _plot_values(path: Path, twin: Twin, forecast: Forecast, record: Record | None, title: str) -> None:
    """Deviations from the measured values: in per cent, or of temperatures in kelvin."""
    drawing, ((axis,),) = figure(1)
    names = list(one_each(twin))
    readings = np.asarray([float(forecast.run.readings[name]) for name in names])
    spread = np.zeros(len(names))
    if _has_band(forecast):
        spread = np.asarray([float(forecast.band(name)[1]) for name in names]) - readings
    measured = np.asarray(
        [float(record.readings[name]) if record and name in record.readings else np.nan for name in names]
    )
    base = np.where(np.isfinite(measured), measured, readings)
    warm = any(difference_unit(twin.sensor(name).unit) != twin.sensor(name).unit for name in names)
    scale = np.ones_like(base) if warm else np.abs(base) / 100
    places = np.arange(len(names))
    label = "twin, 95 % credible interval" if _has_band(forecast) else "twin"
    deviation = (readings - base) / scale
    axis.errorbar(deviation, places, xerr=spread / scale, fmt="o", color=TWIN, capsize=4, label=label)
    axis.axvline(0.0, color=MEASURED, lw=1, label="measured")
    axis.set_yticks(places, list(one_each(twin).values()))
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel(f"deviation from the measured value [{'K' if warm else '%'}]")
    axis.set_title(title, loc="left", fontsize=11)
    axis.legend(loc="best", fontsize=8, frameon=False)
    axis.grid(alpha=0.25, axis="x")
    save(drawing, path)


def one_each(twin: Twin, sensors: Sequence[str] | None = None) -> dict[str, str]:
    """The sensors, or some of them, and what to call each: of an image only the pixel in its middle."""
    groups = twin.grouped([sensor.name for sensor in twin.sensors] if sensors is None else sensors)
    return {
        members[len(members) // 2]: name if members == (name,) else f"{name}, one of {len(members)} pixels"
        for name, members in groups.items()
    }


def with_unit(name: str, unit: str) -> str:
    """A label with its unit, where there is one."""
    return f"{name} [{written(unit)}]" if unit else name.rstrip()


def _has_band(forecast: Forecast) -> bool:
    """Whether a forecast has a credible band; a plain run is drawn as a forecast without one."""
    return any(np.any(np.asarray(spread) > 0) for spread in forecast.predictive.values())


def figure(
    rows: int,
    columns: int = 1,
    widths: Sequence[float] | None = None,
    heights: Sequence[float] | None = None,
    share: bool = True,
) -> tuple[Any, list[list[Any]]]:
    """A figure with axes in rows: a list of rows, each a list of axes.

    Args:
        rows, columns: how many.
        widths: of the columns, to one another.
        heights: of the rows in inches.
        share: whether the axes in a column share their abscissa.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = heights or [_HEIGHT] * rows
    drawing = Figure(figsize=(_WIDTH, sum(heights) + 0.8), layout="constrained")
    FigureCanvasAgg(drawing)
    ratios = {"height_ratios": list(heights), "width_ratios": list(widths or [1.0] * columns)}
    axes = drawing.subplots(rows, columns, sharex="col" if share else False, squeeze=False, gridspec_kw=ratios)
    return drawing, [list(row) for row in axes]


def panels(count: int, columns: int) -> tuple[Any, list[Any]]:
    """A figure with so many panels, at most ``columns`` side by side, and these in order."""
    columns = min(columns, count)
    drawing, rows = figure(-(-count // columns), columns, share=False)
    axes = [axis for row in rows for axis in row]
    for axis in axes[count:]:
        axis.set_visible(False)
    return drawing, axes[:count]


def legend_above(drawing: Any, axis: Any) -> None:
    """What the lines of one panel are, above all of them."""
    handles, labels = axis.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside upper left", fontsize=8, frameon=False, ncols=len(labels))


def save(drawing: Any, path: Path) -> None:
    """Write a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=130)


def time_axis(times: np.ndarray) -> tuple[np.ndarray, float, str]:
    """Times in the unit that suits their span, what they were divided by, and the unit."""
    span = float(times[-1] - times[0])
    for unit, scale in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if span > 3 * scale:
            return times / scale, scale, unit
    return times, 1.0, "s"


def number(value: Any) -> str:
    """Four significant digits, without an exponent where it would be short."""
    value = float(value)
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"
