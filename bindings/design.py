"""What to measure next, for people: tables, a picture and a page of what sensors would tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from gemel.bindings.maps import InformationMap
from gemel.bindings.page import inside, template, version
from gemel.bindings.report import MEASURED, TWIN, figure, number, save
from gemel.engine import Measurement, Twin
from gemel.engine.sensors import Sensor
from gemel.engine.store.files import write_atomically
from gemel.engine.units import difference_to_si, difference_unit, written

_NAMED = 3
"""How many parameters a table names that a sensor would narrow most."""

_DRAWN = 30
"""The largest number of sensors, and of parameters, in the picture."""


@dataclass(frozen=True)
class Design:
    """What sensors would tell about a twin.

    Attributes:
        twin: with the belief so far.
        belief: where it comes from, in words.
        doubts: what was said against the fit that it comes from.
        measurements: the sensors, mounted ones and candidates, the most telling first.
        mounted: the names of those that are.
        together: what all mounted ones would tell, in nats.
        slopes: by how much one SI unit more of each input would change that.
        units: those of the inputs.
        about: the parameters that matter; all where none are named.
        maps: of a point sensor over a mesh.
        remarks: sentences of `design_remarks`.
    """

    twin: Twin
    belief: str
    doubts: Sequence[str]
    measurements: Sequence[Measurement]
    mounted: Sequence[str]
    together: float
    slopes: Mapping[str, float]
    units: Mapping[str, str]
    about: Sequence[str]
    maps: Sequence[InformationMap] = ()
    remarks: Sequence[str] = ()

    def remaining(self, measurement: Measurement) -> dict[str, float]:
        """By parameter what remains of its standard deviation; of several numbers the root-mean-square of theirs."""
        belief, found = self.twin.belief, {}
        for parameter, place in zip(belief.parameters, belief.places.values(), strict=True):
            shares = [measurement.remaining[one] for one in belief.labels[place] if one in measurement.remaining]
            if shares:
                found[parameter.name] = float(np.sqrt(np.mean(np.square(shares))))
        return found


def design_rows(design: Design) -> list[dict[str, str]]:
    """What the table of sensors says, for terminals and pages."""
    rows = []
    for one in design.measurements:
        left = design.remaining(one)
        names = design.about or sorted(left, key=lambda name: left[name])[:_NAMED]
        rows.append(
            {
                "sensor": one.sensor,
                "kind": "mounted" if one.sensor in design.mounted else "candidate",
                "information": number(one.information),
                "left": ", ".join(f"{name} {100 * left[name]:.3g} %" for name in names),
            }
        )
    return rows


def design_table(design: Design) -> Table:
    """Sensors by what each would tell alone."""
    matter = f" about {', '.join(design.about)}" if design.about else ""
    table = Table(title=f"What one more record of each sensor would tell{matter}", title_justify="left")
    table.add_column("sensor")
    table.add_column("")
    table.add_column(escape("information [nats]"), justify="right")
    table.add_column("what remains of standard deviations" + ("" if design.about else " (narrowed most)"))
    for row in design_rows(design):
        table.add_row(escape(row["sensor"]), row["kind"], row["information"], row["left"])
    return table


def design_remarks(
    sensors: Mapping[str, Sequence[Sensor]], mounted: Sequence[str], suspects: Sequence[str] = ()
) -> list[str]:
    """Sentences on sensors that look better than they are, where there are any: mounted ones that the fit suspects to
    drift or to have been moved, and candidates beside which the model is taken for right.
    """
    found = [
        f"{name} seems to drift, or to have been moved, by what the fit left of it, and is taken for sound here: mend "
        "it, or let the fit find its drift, before it is relied on."
        for name in suspects
        if name in mounted
    ]
    right = {name: all(one.noise.error is None for one in group) for name, group in sensors.items()}
    erring = [name for name in mounted if not right[name]]
    perfect = [name for name in sensors if name not in mounted and right[name]]
    if not erring or not perfect:
        return found
    return [
        *found,
        f"{', '.join(perfect)} would tell so much if the model were right there; that it may err is said of "
        f"{', '.join(erring)} alone: give candidates a model_error, too, for a fair comparison.",
    ]


def input_rows(design: Design) -> list[dict[str, str]]:
    """What the table of inputs says."""
    return [
        {
            "input": name,
            "more": number(slope * difference_to_si(1.0, design.units[name])),
            "unit": f"1 {written(difference_unit(design.units[name])) or '(no unit)'}",
        }
        for name, slope in design.slopes.items()
    ]


def input_table(design: Design) -> Table:
    """By how much more of each input would change what all mounted sensors tell together."""
    table = Table(
        title="What a little more of an input, the whole time, would add; less would where negative",
        title_justify="left",
    )
    table.add_column("input")
    table.add_column(escape("information [nats]"), justify="right")
    table.add_column("for each")
    for row in input_rows(design):
        table.add_row(escape(row["input"]), row["more"], row["unit"])
    return table


def design_figures(design: Design) -> dict[str, Any]:
    """A design in numbers; inputs in SI units."""
    return {
        "units": "SI",
        "belief": design.belief,
        "doubts": list(design.doubts),
        "remarks": list(design.remarks),
        "about": list(design.about),
        "sensors": [
            {
                "sensor": one.sensor,
                "mounted": one.sensor in design.mounted,
                "information": one.information,
                "remaining": design.remaining(one),
            }
            for one in design.measurements
        ],
        "mounted_together": {"information": design.together, "by_input": dict(design.slopes)},
        "maps": {one.name: one.figures() for one in design.maps},
    }


def plot_design(path: Path, design: Design) -> None:
    """Draw what each sensor would tell, and what it would leave of each parameter's standard deviation, into a PNG."""
    shown = list(design.measurements)[:_DRAWN]
    left = [design.remaining(one) for one in shown]
    names = list(design.about or left[0])[:_DRAWN]
    drawing, ((bars, table),) = figure(1, 2, (1.0, 2.0), [max(1.6, 0.32 * len(shown) + 1.2)], share=False)
    places = np.arange(len(shown))
    colours = [MEASURED if one.sensor in design.mounted else TWIN for one in shown]
    bars.barh(places, [one.information for one in shown], color=colours)
    bars.set_yticks(places, [one.sensor for one in shown])
    bars.set_ylim(len(shown) - 0.5, -0.5)
    bars.set_xlabel("information [nats]")
    bars.set_title("grey: mounted, orange: candidate", loc="left", fontsize=9)
    bars.grid(alpha=0.25, axis="x")
    shares = 100 * np.asarray([[one[name] for name in names] for one in left])
    picture = table.imshow(shares, cmap="Blues_r", vmin=0.0, vmax=100.0, aspect="auto")
    for (i, j), share in np.ndenumerate(shares):
        table.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=7, color="white" if share < 50 else "black")
    table.set_xticks(np.arange(len(names)), names, rotation=45, ha="right", fontsize=8)
    table.set_yticks([])
    table.set_title("what remains of standard deviations [%]", loc="left", fontsize=9)
    drawing.colorbar(picture, ax=table, pad=0.02)
    save(drawing, path)


def write_design_page(path: Path, design: Design) -> None:
    """Write a page of a design, whole or not at all, with its pictures ``design.png`` and ``map-NAME.png`` inside."""
    text = template("design.html").render(
        title=design.twin.name,
        description=design.twin.description,
        belief=design.belief,
        doubts=design.doubts,
        about=", ".join(design.about),
        picture=inside(path.with_name("design.png")),
        sensors=design_rows(design),
        remarks=design.remarks,
        together=number(design.together),
        inputs=input_rows(design),
        maps=[{"words": one.words(), "picture": inside(path.with_name(one.file))} for one in design.maps],
        version=version(),
    )
    write_atomically(path, text.encode())
