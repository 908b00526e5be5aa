"""``gemel calibrate``."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import numpy as np
from rich.progress import Progress, TaskID

from gemel.bindings.certainty import Certainty
from gemel.bindings.commands import common
from gemel.bindings.commands.certainty import Asked, CertaintyOptions
from gemel.bindings.commands.data import show_warnings
from gemel.bindings.commands.telling import progress, working
from gemel.bindings.fitchoices import FitChoices
from gemel.bindings.page import file_name, write_page
from gemel.bindings.plan import FitPlan, plan_fit
from gemel.bindings.report import comparison_table, parameter_table, plot_forecast, value_table
from gemel.bindings.words import time_left
from gemel.engine import Fit, Forecast, Judgement, Record, Twin, forecast, simulate
from gemel.engine.calibration.pace import Pace
from gemel.engine.extrapolation import with_warnings
from gemel.engine.results import comparison_figures, fit_figures, load_belief, save_belief_of, save_json, save_run
from gemel.engine.store.checkpoints import OtherProblemError, note_of, resumable_calibrate
from gemel.engine.twinfile import TwinFile
from gemel.solvers import SolveError
from gemel.solvers.least_squares import FitState


@dataclass(frozen=True)
class CalibrateOptions:
    """The options of the command, as typed."""

    data: Path | None
    until: str | None
    sensors: list[str]
    max_steps: int | None
    out: Path | None
    restart: bool
    start: Path | None
    certainty: CertaintyOptions


def run(path: Path, options: CalibrateOptions) -> None:
    """Calibrate a twin, from its checkpoint where there is one, of which options that are not given again are known.

    Raises `SolveError` where the fit fails. Interrupted from the keyboard it ends with code 130; its checkpoint is that
    of the last step that had ended.
    """
    file, twin = common.load(path)
    out = common.require_folder(options.out or Path("runs") / file.name)
    choices = _choices(options, twin, out)
    plan = plan_fit(file, None, choices.data, choices.sensors, choices.until, choices.max_steps, "--until")
    show_warnings(plan.remarks())
    problem = plan.check(twin)  # a mistake leaves no folder behind
    asked = Asked.of(options.certainty, plan, problem)
    out.mkdir(parents=True, exist_ok=True)
    try:
        fit = fit_with_progress(file, twin, plan, out / "checkpoint.npz", options.restart, choices)
    except KeyboardInterrupt:
        _paused(f"Paused: the steps so far are in {out}, and the same command goes on.")
    reported = report(file, fit, plan, out)
    try:
        for found in asked.find(problem, fit, reported.certainty):
            reported = reported.with_more(found)
            common.say(reported.reminder())
    except KeyboardInterrupt:
        _paused(
            f"Stopped: the fit has ended; what was found about it before is in {out}, what was not finished is lost."
        )
    if not fit.converged:
        raise SolveError(f"The calibration did not converge: {fit.message}")


def _paused(words: str) -> NoReturn:
    common.say([words])
    sys.exit(130)


def _choices(options: CalibrateOptions, twin: Twin, out: Path) -> FitChoices:
    """What is asked for of the fit; what is not, as its run in ``out`` was made, and that is told."""
    start = None if options.start is None else tuple(load_belief(options.start, twin.belief).mean.tolist())
    asked = FitChoices(options.data, options.until, tuple(options.sensors), options.max_steps, start, options.start)
    if options.restart:
        return asked
    before = _kept(out / "checkpoint.npz")
    if added := asked.added(before):
        common.say([f"As the fit in {out} was made: {' '.join(added)} (--restart starts anew)."])
    return asked.completed(before)


def _kept(checkpoint: Path) -> FitChoices:
    """What was asked for of the fit that a checkpoint is of. Raises `ValueError` for a damaged one."""
    try:
        return FitChoices.load(note_of(checkpoint))
    except OtherProblemError as error:
        raise _refusal(str(error), checkpoint) from error


def _refusal(why: str, checkpoint: Path) -> ValueError:
    """That a checkpoint is not gone on from, and what to do."""
    belief = checkpoint.with_name("belief.json")
    other = f", with --from {belief} where its fit ended" if belief.is_file() else ""
    return ValueError(f"{why} Give --restart to start anew{other}.")


def fit_with_progress(
    file: TwinFile,
    twin: Twin,
    plan: FitPlan,
    checkpoint: Path,
    restart: bool,
    choices: FitChoices = FitChoices(),  # noqa: B008
) -> Fit:
    """Calibrate with a progress bar and a checkpoint after every step, which keeps the ``choices`` that ``plan`` is of.

    Raises `ValueError` where the checkpoint is of another fit.
    """
    start = None if choices.start is None else np.asarray(choices.start)
    with progress() as bar:
        task = bar.add_task("Calibrating", total=getattr(plan.solver, "max_steps", None), words=_first_words(plan))

        def on_resume(state: FitState) -> None:
            ended = f"This fit has ended after {int(state.step)} steps: --restart makes it anew."
            bar.console.print(ended if bool(state.finished) else f"Continuing from step {int(state.step)}.")

        pace = Pace.of(plan.solver)

        def on_step(state: FitState) -> None:
            nonlocal pace
            pace = pace.after(monotonic(), state)
            _show(bar, task, state, pace)

        try:
            fit = resumable_calibrate(
                twin,
                plan.fitted,
                plan.method(twin),
                plan.sensors,
                checkpoint,
                document=file.text,
                note=choices.dump(),
                restart=restart,
                on_resume=on_resume,
                on_step=on_step,
                starts=plan.starts,
                windows=plan.windows,
                own=plan.own,
                start=start,
            )
        except OtherProblemError as error:
            against = choices.against(_kept(checkpoint))
            why = f"The fit in {checkpoint.parent} was made {against}." if against else str(error)
            raise _refusal(why, checkpoint) from error
        bar.update(task, total=max(fit.steps, 1), completed=max(fit.steps, 1))
    return fit


@dataclass(frozen=True)
class Reported:
    """A fit that was shown and written to a folder, to which more that is found about it is added.

    Attributes:
        fit, plan: what was fitted, and how.
        runs: a free run at the times of each experiment.
        judgement: of the fit.
        unseen: a free run over data of their own, and these; None where there were none.
        out: the folder.
        figures: its numbers.
        certainty: what was found beyond the fit so far.
    """

    fit: Fit
    plan: FitPlan
    runs: Mapping[str, Forecast]
    judgement: Judgement
    unseen: tuple[Forecast, Record] | None
    out: Path
    figures: dict[str, Any]
    certainty: Certainty = field(default_factory=Certainty)

    def with_more(self, found: Certainty) -> "Reported":
        """The same with what was found since, which is shown and stands in the folder's files, too."""
        certainty = self.certainty.also(found)
        whole = replace(self, certainty=certainty, figures=self.figures | certainty.figures(self.fit))
        new = replace(certainty, profiles=certainty.profiles if found.profiles else (), draws=found.draws)
        kept = new.keep(self.out, self.fit)
        for table, lines in found.tables(self.fit):
            common.console.print(table)
            common.say(lines)
        save_json(self.out / "figures.json", whole.figures)
        whole.write_page()
        common.say([f"Written to {self.out}: {', '.join(['report.html', 'figures.json', *kept])}"])
        return whole

    def reminder(self) -> list[str]:
        """That the fit was doubted, where it was: what is found about it is about a twin that may be wrong."""
        judged = self.judgement
        return [f"The fit itself was judged '{judged.verdict}', for the reasons above."] if judged.against else []

    def write_page(self) -> list[str]:
        """Write the page; returns the names of the pictures that it drew."""
        sections, path = self.certainty.sections(self.fit), self.out / "report.html"
        return write_page(path, self.fit, self.plan, self.runs, self.judgement, self.unseen, sections)


def report(file: TwinFile, fit: Fit, plan: FitPlan, out: Path) -> Reported:
    """Write belief, forecasts, figures, pictures and the page of a fit to ``out``, and show tables. Profiles and draws
    that are there of this very fit stay, and are on the page.

    The figures of several experiments are under ``experiments``, those on the ``[validation]`` data of the twin file,
    where there are any, under ``validation``.
    """
    with working("Forecasting …"):
        runs = plan.runs(fit)
    unseen = _validation(file, fit)
    judgement = plan.judge(fit, runs, unseen)
    figures = fit_figures(fit)
    figures["verdict"] = {"verdict": judgement.verdict, "reasons": list(judgement.marked)}
    common.console.print(parameter_table(fit))
    verdict = judgement.verdict
    found = {name: _keep_experiment(fit, plan, name, result, out, verdict) for name, result in runs.items()}
    if list(found) == [""]:
        figures["sensors"] = found[""]
    else:
        figures["experiments"] = {name: {"sensors": sensors} for name, sensors in found.items()}
    save_belief_of(out / "belief.json", fit, judgement)
    if unseen is not None:
        figures["validation"] = _keep_validation(fit, *unseen, out, verdict)
    certainty = Certainty.kept(out, fit)
    kept, figures = certainty.keep(out, fit), figures | certainty.figures(fit)
    save_json(out / "figures.json", figures)
    reported = Reported(fit, plan, runs, judgement, unseen, out, figures, certainty)
    pictures = [*reported.write_page(), *kept]
    common.show_judgement(judgement)
    drawn = [f"{file_name('forecast', name)}.{ending}" for name in runs for ending in ("zarr", "png")]
    names = ", ".join(["report.html", "belief.json", "figures.json", *drawn, *pictures])
    common.console.print(f"Written to {out}: {names}", soft_wrap=True)
    return reported


def _keep_experiment(fit: Fit, plan: FitPlan, name: str, result: Forecast, out: Path, verdict: str) -> dict[str, Any]:
    """Write and show what came of one experiment; return its figures."""
    record, fitted, twin = plan.measured[name], plan.fitted[name], fit.twin_in(name)
    save_run(out / f"{file_name('forecast', name)}.zarr", result)
    plot_forecast(out / f"{file_name('forecast', name)}.png", twin, result, record, fitted, verdict)
    figures = comparison_figures(result, record, fitted, plan.sensors)
    if name:
        common.console.print(f"[bold]{name}[/bold]")
    if record.times is None:
        before = simulate(fit.twin_before(), record.inputs)
        common.console.print(value_table(twin, before, result, record, plan.sensors or tuple(record.readings)))
    else:
        common.console.print(comparison_table(twin, figures))
    common.show_pairs(twin, result.run)
    common.show_warnings(result.run)
    return figures


def _validation(file: TwinFile, fit: Fit) -> tuple[Forecast, Record] | None:
    """A free run over the ``[validation]`` data of the twin file, where there are any."""
    record = file.validation()
    if record is None:
        return None
    with working("Judging on the validation data …"):
        return with_warnings(fit.twin, forecast(fit.twin, record.inputs, record.times), fit.ranges), record


def _keep_validation(fit: Fit, result: Forecast, record: Record, out: Path, verdict: str) -> dict[str, Any]:
    """Write and show what came of the validation data; return the figures."""
    figures = comparison_figures(result, record)
    save_run(out / "validation.zarr", result)
    save_json(out / "validation.json", {"sensors": figures})
    plot_forecast(out / "validation.png", fit.twin, result, record, verdict=verdict)
    common.console.print(comparison_table(fit.twin, figures, "Twin against validation data"))
    common.show_warnings(result.run)
    common.console.print(f"Written to {out}: validation.json, validation.zarr, validation.png", soft_wrap=True)
    return figures


def _first_words(plan: FitPlan) -> str:
    """What a fit does before its first step."""
    if plan.windows is not None:
        return f"shooting in {plan.windows} windows"
    return f"fitting from {plan.starts} starts" if plan.starts > 1 else "compiling"


def _show(bar: Progress, task: TaskID, state: FitState, pace: Pace) -> None:
    words = f"step {int(state.step)}  cost {float(state.cost):.6g}  gradient {float(state.gradient_norm):.2g}"
    if pace.seconds_left is not None and not bool(state.finished):
        words += f"  {time_left(pace.seconds_left)}"
    bar.update(task, completed=int(state.step), words=words)
