"""``gemel design``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemel.bindings.commands import common
from gemel.bindings.commands.beliefs import believed
from gemel.bindings.commands.telling import working
from gemel.bindings.design import (
    Design,
    design_figures,
    design_remarks,
    design_table,
    input_table,
    plot_design,
    write_design_page,
)
from gemel.bindings.maps import InformationMap, information_map, plot_map
from gemel.engine import Twin, information_by_input, next_measurements
from gemel.engine.results import save_json
from gemel.engine.sensors import Sensor
from gemel.engine.twinfile import TwinFile
from gemel.engine.twinfile.field import FieldModel
from gemel.names import listed
from gemel.solvers import SolveError


@dataclass(frozen=True)
class DesignOptions:
    """The options of the command, as typed."""

    drive: common.DriveOptions
    set: list[str]
    belief: Path | None
    about: list[str]
    map: list[str]
    out: Path | None


def run(path: Path, options: DesignOptions) -> None:
    """Compare sensors by what they would tell beyond what is believed. Raises `SolveError` where the run fails."""
    file, twin = common.load(path)
    drive = common.drive(file, twin, options.drive)
    folder = Path("runs") / file.name
    out = common.require_folder(options.out or folder / "design")
    belief = believed(twin, options.belief, folder / "belief.json", options.drive.experiment)
    belief.show()
    twin = _with_known(file, belief.twin, options.set)
    about = _checked(twin, options)
    mounted, candidates = file.mounted(twin), file.candidates(twin)
    sensors = {**mounted, **candidates}
    _check_maps(file, sensors, options.map)
    if not sensors:
        raise ValueError(f"{file.source} has no sensors to compare: give [sensors.NAME] or [candidates.NAME].")
    with working("Looking at each sensor …"):
        found = next_measurements(twin, sensors, drive.inputs, drive.times, about)
    if not np.isfinite([one.information for one in found]).all():
        raise SolveError("The run at the mean of the belief failed: look at it with 'gemel simulate'.")
    together, slopes = 0.0, {}
    if mounted:
        with working("Looking at all mounted sensors and the inputs …"):
            together, slopes = information_by_input(twin, twin.sensors, drive.inputs, drive.times, about)
    maps = [_map(twin, name, sensors[name][0], drive, about) for name in options.map]
    units = {name: table.unit for name, table in file.document.inputs.items()}
    remarks = design_remarks(sensors, tuple(mounted), () if belief.fit is None else belief.fit.suspects)
    design = Design(
        twin,
        belief.words,
        belief.doubts(),
        found,
        tuple(mounted),
        together,
        slopes,
        units,
        options.about,
        maps,
        remarks,
    )
    _keep(out, design)


def _with_known(file: TwinFile, twin: Twin, texts: list[str]) -> Twin:
    """The twin some of whose parameters are known."""
    known = common.known_values(file, twin, texts)
    given = twin.belief.given(known)
    return twin.with_belief(given.mean, given.covariance) if known else twin


def _checked(twin: Twin, options: DesignOptions) -> list[str] | None:
    """The parameters that matter, None for all. Raises `ValueError` for one not there, or given by ``--set``."""
    known = common.assignments("--set", options.set)
    for name in options.about:
        if name not in twin.parameters:
            raise ValueError(f"--about: unknown parameter '{name}': the twin has {listed(name, twin.parameters)}")
        if name in known:
            raise ValueError(f"--about: '{name}' is given by --set, so that nothing is to be learnt about it.")
    return options.about or None


def _check_maps(file: TwinFile, sensors: dict[str, list[Sensor]], names: list[str]) -> None:
    """Raise `ValueError` for a map of a sensor that is not there, or not of the kind 'point', or of no mesh."""
    tables = {**file.document.sensors, **file.document.candidates}
    for name in names:
        if not isinstance(file.document.model, FieldModel):
            raise ValueError(f"--map: the physics '{file.document.model.physics}' has no mesh to draw a map of.")
        if name not in sensors:
            raise ValueError(f"--map: unknown sensor '{name}': the file has {listed(name, sensors)}")
        if tables[name].kind != "point":
            raise ValueError(
                f"--map: sensor '{name}' is of the kind '{tables[name].kind}': a map is of one of the kind 'point', "
                "which may stand in [candidates.NAME]."
            )


def _map(twin: Twin, name: str, sensor: Sensor, drive: common.Drive, about: list[str] | None) -> InformationMap:
    with working(f"Looking at all places for {name} …"):
        return information_map(twin, name, sensor, drive.inputs, drive.times, about)


def _keep(out: Path, design: Design) -> None:
    """Show a design and write it to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    common.console.print(design_table(design))
    common.say(design.remarks, "yellow")
    if design.mounted:
        common.console.print(f"All mounted sensors read together: {design.together:.4g} nats.")
    if design.slopes:
        common.console.print(input_table(design))
    save_json(out / "design.json", design_figures(design))
    plot_design(out / "design.png", design)
    for one in design.maps:
        plot_map(out / one.file, one)
        common.say([one.words()])
    write_design_page(out / "report.html", design)
    names = ["report.html", "design.json", "design.png", *(one.file for one in design.maps)]
    common.console.print(f"Written to {out}: {', '.join(names)}", soft_wrap=True)
