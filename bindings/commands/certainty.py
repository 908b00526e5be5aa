"""What `gemel calibrate` finds out beyond a fit where it is asked to: profiles."""

from collections.abc import Sequence

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gemel.bindings.commands import common
from gemel.bindings.plan import FitPlan
from gemel.engine import CalibrationProblem, Fit, LikelihoodProfile, Twin, profile_likelihood
from gemel.engine.calibration.profiles import check_profiled

_POINTS = 6
"""The values of a profile to either side of the fit."""


def asked_profiles(plan: FitPlan, twin: Twin, names: Sequence[str]) -> tuple[str, ...]:
    """The parameters to profile, ``all`` for every one of one number.

    Raises `ValueError` for one that is not there, and for a fit that stops before its misfit is least.
    """
    if not names:
        return ()
    if plan.patience is not None:
        raise ValueError(
            "--profile: a profile starts where the misfit is least, and a fit with 'patience' stops before."
        )
    problem, found = plan.problem(twin), []
    for name in names:
        if name == "all":
            found += problem.belief.scalars().names
            continue
        try:
            check_profiled(problem, name)
        except ValueError as error:
            raise ValueError(f"--profile: {error}") from error
        found.append(name)
    return tuple(dict.fromkeys(found))


def profiles_with_progress(problem: CalibrationProblem, fit: Fit, names: Sequence[str]) -> list[LikelihoodProfile]:
    """The profiles of parameters about a fit, with a progress bar."""
    found, each = [], 2 * _POINTS
    if not names:
        return found
    with progress() as bar:
        task = bar.add_task("Profiling", total=each * len(names), words="compiling")
        for number, name in enumerate(names):

            def on_point(deviation: float, name: str = name) -> None:
                bar.update(task, advance=1, words=f"{name} at {deviation:+.2g} standard deviations")

            found.append(profile_likelihood(problem, fit, name, points=_POINTS, on_point=on_point))
            bar.update(task, completed=each * (number + 1))
    return found


def progress() -> Progress:
    """A bar with words beside it."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        console=common.console,
    )
