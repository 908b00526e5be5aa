"""Pictures of rows: times against unknowns, and what a row is made of."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullFormatter
from matplotlib.transforms import ScaledTranslation

from benchmarks import ceiling
from benchmarks.tables import STAGES, Row, stages, total

_COLOURS = {
    "gemel": "#c1121f",
    "scikit-fem": "#0072b2",
    "scikit-fem-direct": "#6ab7e8",
    "jax-fem": "#e08e00",
    "torch-fem": "#cc6699",
    "tatva": "#009e73",
    "feax": "#8c6d31",
    "pymfem": "#6a51a3",
    "fenicsx": "#333333",
    "fenicsx-2": "#8f8f8f",
}
_MARKERS = dict(zip(_COLOURS, "osD^vPX*hp", strict=True))
_OTHER = "#555555"
_STAGE_COLOURS: dict[str, str] = dict(zip(STAGES, ("#9db4c0", "#e0c56e", "#5c8d89", "#a06cd5", "#c1121f"), strict=True))
_GREY = "#9a9a9a"
_GAP, _ENOUGH = 0.062, 1e-6

_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "savefig.dpi": 130,
}


def times(rows: list[Row], path: Path) -> None:
    """Total and solve time of one case against unknowns, with what the memory allows."""
    with mpl.rc_context(_STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6))
        ends = _curves(left, rows, total, "From the mesh to the solution, compiling included")
        others = _curves(right, rows, lambda row: row.get("solve_s"), "One more solve")
        _name(left, ends)
        _name(right, [*others, *_ceilings(right, rows)])
        _save(figure, path)


def gradients(rows: list[Row], path: Path) -> None:
    """Time of a functional and of its gradient against unknowns."""
    with mpl.rc_context(_STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
        ends = _curves(left, rows, lambda row: row.get("forward_s"), "Assemble, solve, integrate")
        others = _curves(right, rows, lambda row: row.get("gradient_s"), "The same with the gradient")
        _name(left, ends)
        _name(right, others)
        _save(figure, path)


def composition(rows: list[Row], path: Path) -> None:
    """What the total of each code is made of, at one size: with compiling, and without it on a scale of its own."""
    rows = sorted(rows, key=total, reverse=True)
    with mpl.rc_context(_STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 1.3 + 0.34 * len(rows)), sharey=True)
        _bars(left, rows, STAGES)
        _bars(right, rows, tuple(stage for stage in STAGES if stage != "compile"))
        left.set_title(f"Once, {rows[0]['unknowns']:,} unknowns")
        right.set_title("The same without what it compiles")
        left.set_yticks(range(len(rows)), [row["code"] for row in rows])
        for label, row in zip(left.get_yticklabels(), rows, strict=True):
            label.set_color(_COLOURS.get(row["code"], _OTHER))
        handles, names = left.get_legend_handles_labels()
        figure.tight_layout()
        figure.legend(handles, names, ncols=len(STAGES), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
        _save(figure, path)


def _bars(axes: Axes, rows: list[Row], shown: tuple[str, ...]) -> None:
    """One stacked bar for each row, with its length in words."""
    axes.grid(visible=False, axis="y")
    starts = [0.0] * len(rows)
    for stage in shown:
        lengths = [stages(row)[stage] for row in rows]
        axes.barh(range(len(rows)), lengths, left=starts, color=_STAGE_COLOURS[stage], label=stage, height=0.68)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    for place, end in enumerate(starts):
        axes.annotate(
            _brief(end), (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8, color=_OTHER
        )
    axes.set_xlabel("time in s")
    axes.set_xlim(0, 1.15 * max(starts))


def _brief(seconds: float) -> str:
    return f"{1e3 * seconds:.2g} ms" if seconds < 0.1 else f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


class _End(NamedTuple):
    """Where a line ends, and what it is called."""

    x: float
    y: float
    name: str
    colour: str


class _Plain(LogFormatter):
    """Numbers written out, where a logarithmic axis is short enough to show some between powers of ten: those with the
    first digits ``shown``.
    """

    shown = "123456789"

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The number, or nothing where it would not be shown."""
        return f"{x:,.6g}" if f"{x:e}"[0] in self.shown and super().__call__(x, pos) else ""


class _Sparse(_Plain):
    """Fewer of them."""

    shown = "25"


def _curves(axes: Axes, rows: list[Row], time: Callable[[Row], float | None], title: str) -> list[_End]:
    """One line for each code; returns where they end, to be named once the axes have their limits."""
    ends = []
    for code in [code for code in _COLOURS if any(row["code"] == code for row in rows)]:
        timed = [(row["unknowns"], time(row)) for row in rows if row["code"] == code]
        points = sorted((unknowns, seconds) for unknowns, seconds in timed if seconds)
        if not points:
            continue
        ours, colour = code == "gemel", _COLOURS[code]
        axes.plot(
            *zip(*points, strict=True),
            color=colour,
            marker=_MARKERS[code],
            markersize=5 if ours else 4,
            linewidth=2.4 if ours else 1.3,
            zorder=3 if ours else 2,
        )
        ends.append(_End(*points[-1], code, colour))
    axes.set(xscale="log", yscale="log", xlabel="unknowns", ylabel="time in s")
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        kind = _Sparse if high > 3 * low else _Plain
        axis.set_minor_formatter(NullFormatter() if high > 10 * low else kind(minor_thresholds=(2, 1)))
    axes.margins(x=0.08)
    axes.set_title(title)
    return ends


def _ceilings(axes: Axes, rows: list[Row]) -> list[_End]:
    """What the traffic of Gemel's iterations costs at the measured bandwidth."""
    ours = sorted((row for row in rows if row["code"] == "gemel" and row.get("copy_gb_s")), key=lambda r: r["unknowns"])
    if not ours or ours[0]["element"] != "Q1":
        return []
    speed = max(row["copy_gb_s"] for row in ours)
    components = 3 if ours[0]["case"].startswith("elasticity") else 1
    ends = []
    for name, load in (
        ("memory limit, rows", ceiling.assembled(components)),
        ("memory limit, no matrix", ceiling.matrix_free()),
    ):
        line = [(row["unknowns"], ceiling.seconds(row["unknowns"], row["iterations"], load, speed)) for row in ours]
        axes.plot(*zip(*line, strict=True), color=_GREY, linestyle=(0, (4, 3)), linewidth=1.1, marker="", zorder=1)
        ends.append(_End(*line[-1], name, _GREY))
    return ends


def _name(axes: Axes, ends: list[_End]) -> None:
    """Write the names beside the ends of the lines, moved apart where they would touch; of those that go furthest at
    the edge of the picture.
    """
    low, high = (math.log10(value) for value in axes.get_ylim())
    widest = max((end.x for end in ends), default=0.0)
    for x in {end.x for end in ends}:
        group = sorted((end for end in ends if end.x == x), key=lambda end: end.y)
        exact = [(math.log10(end.y) - low) / (high - low) for end in group]
        for end, height, place in zip(group, exact, _apart(exact), strict=True):
            _label(axes, end, height, place, outside=x == widest)


def _label(axes: Axes, end: _End, height: float, place: float, *, outside: bool) -> None:
    """Write one name at a place, both in heights of the axes, with a line to where it belongs."""
    edge = axes.transAxes if outside else axes.get_xaxis_transform()
    at = 1.0 if outside else end.x
    axes.annotate(
        end.name,
        xy=(at, height),
        xycoords=edge,
        xytext=(at, place),
        textcoords=edge + ScaledTranslation(12 / 72, 0, axes.figure.dpi_scale_trans),
        color=end.colour,
        va="center",
        fontsize=8.5,
        fontweight="bold" if end.name == "gemel" else "normal",
        annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": end.colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0},
    )


def _apart(places: list[float]) -> list[float]:
    """Rising heights between 0 and 1, moved as little as may be until they are a line of text apart."""
    places, top = [min(max(place, 0.0), 1.0) for place in places], len(places) - 1
    for _ in range(300):
        for i in range(top):
            lack = _GAP - (places[i + 1] - places[i])
            if lack > _ENOUGH:
                places[i], places[i + 1] = places[i] - lack / 2, places[i + 1] + lack / 2
        places = [min(max(place, i * _GAP), 1 - (top - i) * _GAP) for i, place in enumerate(places)]
    return places


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
