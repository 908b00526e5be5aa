"""Pictures of images: what was measured, beside the twin, beside the difference."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gemel.bindings.report import LINE, MEASURED, TWIN, number, save, time_axis, with_unit
from gemel.engine import Record, Run, Twin
from gemel.engine.images import layouts_of
from gemel.engine.signals import samples_of
from gemel.engine.units import difference_from_si, difference_unit, from_si, written

_WIDTH = 9.0
_SCALE, _DIFFERENCE, _NOTHING = "inferno", "RdBu_r", "#d9dee4"


@dataclass(frozen=True)
class _Frame:
    """An image at one time, in the unit of its sensors: flat arrays, NaN where nothing was measured."""

    title: str
    measured: np.ndarray
    twin: np.ndarray
    difference: np.ndarray


def plot_images(
    folder: Path,
    twin: Twin,
    run: Run,
    record: Record,
    fitted: Record | None = None,
    experiment: str = "",
    stem: str = "image",
) -> dict[str, Path]:
    """Draw each image that was measured into a PNG ``image-NAME.png``, or ``image-NAME-EXPERIMENT.png``.

    Of a record with times it shows the last one that was fitted, the last one of all, and the one where twin and
    measurement differ most.

    Args:
        folder: where the pictures go.
        twin: whose sensors they are.
        run: of the twin; between its times readings are interpolated.
        record: what was measured.
        fitted: the part of the record that was fitted, if any.
        experiment: which one, where there are several.
        stem: what the files are called in place of ``image``.

    Returns:
        The files by image.
    """
    found = {}
    for image, centres in layouts_of(twin.sensors).items():
        frames = _frames(twin, image, run, record, fitted)
        if not frames:
            continue
        name = "-".join(filter(None, [stem, re.sub(r"[^\w.-]", "_", image), experiment]))
        found[image] = folder / f"{name}.png"
        draw = _draw_grids if centres.ndim == 3 and min(centres.shape[:2]) > 1 else _draw_lines
        draw(found[image], image, twin.sensor(image).unit, centres, frames)
    return found


def _frames(twin: Twin, image: str, run: Run, record: Record, fitted: Record | None) -> list[_Frame]:
    """The image at the times that are shown; none where nothing of it was measured."""
    members, unit = twin.images[image], twin.sensor(image).unit
    if (record.times is None) != (run.times is None):
        return []
    times = np.zeros(1) if record.times is None else np.asarray(record.times)
    nothing = np.full(len(times), np.nan)
    measured = np.stack([np.atleast_1d(np.asarray(record.readings.get(m, nothing), float)) for m in members], axis=1)
    read = np.stack([_at(times, run, member) for member in members], axis=1)
    off = measured - read
    known = np.flatnonzero(np.isfinite(off).any(axis=1))
    if not len(known):
        return []
    titles = {}
    for i, why in _chosen(known, off, record, fitted).items():
        titles[i] = "" if record.times is None else f"{_time(times, i)}\n{why}"
    return [
        _Frame(title, from_si(measured[i], unit), from_si(read[i], unit), np.asarray(difference_from_si(off[i], unit)))
        for i, title in titles.items()
    ]


def _at(times: np.ndarray, run: Run, name: str) -> np.ndarray:
    """The twin's reading at given times; NaN beyond those of the run."""
    values = np.atleast_1d(np.asarray(run.readings[name], dtype=float))
    if run.times is None:
        return values
    return np.interp(times, np.asarray(run.times), values, left=np.nan, right=np.nan)


def _chosen(known: np.ndarray, off: np.ndarray, record: Record, fitted: Record | None) -> dict[int, str]:
    """Which samples to show, in their order, and why each."""
    squares = np.nanmean(off[known] ** 2, axis=1)
    used = np.broadcast_to(samples_of(record, fitted), len(off))[known]
    shown: dict[int, list[str]] = {int(known[-1]): ["last"]}
    if used.any() and not used.all():
        shown[int(known[used][-1])] = ["end of the fitted part"]
    shown.setdefault(int(known[np.argmax(squares)]), []).append("largest difference")
    return {i: ",\n".join(shown[i]) for i in sorted(shown)}


def _time(times: np.ndarray, i: int) -> str:
    scaled, _, unit = time_axis(times)
    return f"{number(scaled[i])} {unit}"


def _draw_grids(path: Path, image: str, unit: str, centres: np.ndarray, frames: list[_Frame]) -> None:
    """Rows of three maps on one scale each for values and differences."""
    shape = centres.shape[:2]
    across, down = (float(np.linalg.norm(centres[end] - centres[0, 0])) for end in ((0, -1), (-1, 0)))
    scale, length = _length(max(across, down))
    right, below = (side * scale for side in (across, down))
    half = right / (shape[1] - 1) / 2, below / (shape[0] - 1) / 2
    extent = (-half[0], right + half[0], below + half[1], -half[1])
    values = np.concatenate([part for frame in frames for part in (frame.measured, frame.twin)])
    limit = float(np.nanmax(np.abs(np.concatenate([frame.difference for frame in frames])))) or 1.0
    ratio = (extent[2] - extent[3]) / (extent[1] - extent[0])
    drawing, rows = _figure(len(frames), min(max(1.9 * ratio + 0.4, 1.3), 5.0))
    shown: list[Any] = []
    for row, frame in zip(rows, frames, strict=True):
        parts = (
            (frame.measured, _SCALE, float(np.nanmin(values)), float(np.nanmax(values))),
            (frame.twin, _SCALE, float(np.nanmin(values)), float(np.nanmax(values))),
            (frame.difference, _DIFFERENCE, -limit, limit),
        )
        for axis, (numbers, colours, low, high) in zip(row, parts, strict=True):
            axis.set_facecolor(_NOTHING)
            grid = np.ma.masked_invalid(numbers.reshape(shape))
            shown.append(axis.imshow(grid, cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest"))
        row[0].set_ylabel(f"{frame.title}\n\nacross rows [{length}]".lstrip())
        row[0].set_title(f"{image}: measured", loc="left", fontsize=10)
        row[1].set_title("twin", loc="left", fontsize=10)
        _say_difference(row[2], frame, unit)
    for axis in rows[-1]:
        axis.set_xlabel(f"along a row [{length}]")
    bars = {"aspect": 20.0 * len(frames), "pad": 0.02}
    drawing.colorbar(shown[0], ax=[axis for row in rows for axis in row[:2]], label=with_unit(image, unit), **bars)
    drawing.colorbar(
        shown[2], ax=[row[2] for row in rows], label=with_unit("difference", difference_unit(unit)), **bars
    )
    save(drawing, path)


def _draw_lines(path: Path, image: str, unit: str, centres: np.ndarray, frames: list[_Frame]) -> None:
    """Rows of two curves over the way along the pixels: measured and twin, and their difference."""
    places = centres.reshape(-1, centres.shape[-1])
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    scale, length = _length(float(way[-1]))
    drawing, rows = _figure(len(frames), 2.2, 2)
    for (beside, off), frame in zip(rows, frames, strict=True):
        beside.plot(way * scale, frame.measured, ".", color=MEASURED, ms=4, label="measured")
        beside.plot(way * scale, frame.twin, color=TWIN, lw=1.3, label="twin")
        beside.set_ylabel(f"{frame.title}\n\n{with_unit(image, unit)}".lstrip())
        off.axhline(0.0, color=MEASURED, lw=0.8)
        off.plot(way * scale, frame.difference, ".-", color=LINE, lw=0.8, ms=4)
        off.set_ylabel(with_unit("difference", difference_unit(unit)))
        _say_difference(off, frame, unit)
        for axis in (beside, off):
            axis.grid(alpha=0.25)
            axis.set_xlabel(f"along the points [{length}]")
    rows[0][0].legend(loc="best", fontsize=8, frameon=False)
    save(drawing, path)


def _figure(rows: int, height: float, columns: int = 3) -> tuple[Any, list[list[Any]]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(_WIDTH, height * rows + 0.6), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(rows, columns, sharex=True, sharey=columns == 3, squeeze=False)
    return drawing, [list(row) for row in axes]


def _say_difference(axis: Any, frame: _Frame, unit: str) -> None:
    rms = float(np.sqrt(np.nanmean(frame.difference**2)))
    said = f"{rms:.2g} {written(difference_unit(unit))}".strip()
    axis.set_title(f"measured - twin (RMS {said})", loc="left", fontsize=10)


def _length(size: float) -> tuple[float, str]:
    """What lengths of a size in m are multiplied by, and the unit that they are then in."""
    for unit, factor in (("m", 1.0), ("mm", 1e3), ("µm", 1e6)):
        if size * factor >= 1.0:
            return factor, unit
    return 1e9, "nm"
