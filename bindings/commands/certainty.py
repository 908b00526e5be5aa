"""What `gemel calibrate` finds out beyond a fit where it is asked to: profiles, and draws from the posterior."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from threading import Event
from time import monotonic

from gemel.bindings.certainty import Certainty
from gemel.bindings.commands.telling import progress
from gemel.bindings.plan import FitPlan
from gemel.bindings.words import time_left
from gemel.engine import CalibrationProblem, Draws, Fit, LikelihoodProfile, profile_likelihood, sample
from gemel.engine.calibration.pace import Remaining
from gemel.engine.calibration.problem import allowed_mode
from gemel.engine.calibration.profiles import check_profiled
from gemel.engine.calibration.sampling import require_blackjax

_POINTS = 6
"""The values of a profile to either side of the fit."""


@dataclass(frozen=True)
class CertaintyOptions:
    """The options that ask for it, as typed."""

    profile: Sequence[str] = ()
    sample: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Asked:
    """The parameters to profile, and how many draws of each chain to take, None for none."""

    profiles: tuple[str, ...]
    draws: int | None
    seed: int

    @staticmethod
    def of(options: CertaintyOptions, plan: FitPlan, problem: CalibrationProblem) -> "Asked":
        """Raises `ValueError` for what cannot be found out: before the fit, which may take long."""
        if options.seed is not None and options.sample is None:
            raise ValueError("--seed is that of draws: give --sample, too.")
        if options.sample is not None:
            _check_sampling(plan, problem)
        return Asked(_asked_profiles(plan, problem, options.profile), options.sample, options.seed or 0)

    def find(self, problem: CalibrationProblem, fit: Fit, known: Certainty) -> Iterator[Certainty]:
        """What is asked for, as soon as it is known or found out: profiles, and then draws, with progress. Interrupted,
        the profiles that were found are handed on first.

        Raises `CalibrationError` where sampling fails.
        """
        found = {one.name: one for one in known.profiles if one.name in self.profiles}
        before = len(found)
        try:
            _follow(problem, fit, [name for name in self.profiles if name not in found], found)
        except KeyboardInterrupt:
            if len(found) > before:
                yield Certainty(tuple(found.values()))
            raise
        if found:
            yield Certainty(tuple(found[name] for name in self.profiles))
        if self.draws is not None:
            same = known.draws is not None and known.draws.z.shape[1] == self.draws and known.seed == self.seed
            yield Certainty(draws=known.draws if same else _draws(problem, fit, self.draws, self.seed), seed=self.seed)


def _check_sampling(plan: FitPlan, problem: CalibrationProblem) -> None:
    try:
        require_blackjax()
    except ImportError as error:
        raise ValueError(f"--sample: {error}") from error
    if plan.patience is not None:
        raise ValueError("--sample: draws are from about the least misfit, and a fit with 'patience' stops before.")
    if allowed_mode(problem) == "forward":
        raise ValueError("--sample: draws need gradients in reverse mode, which this model does not allow.")


def _draws(problem: CalibrationProblem, fit: Fit, count: int, seed: int) -> Draws:
    """Draws, with a progress bar. Interrupted, the chains stop after the step in hand."""
    with progress() as bar:
        task, left, stop = bar.add_task("Sampling", total=None, words="compiling"), Remaining(0), Event()

        def on_step(done: int, total: int) -> None:
            nonlocal left
            if stop.is_set():
                raise _Stopped
            left = replace(left, total=total).after(monotonic(), done)
            words = f"step {done} of {total} of all chains at once"
            bar.update(task, total=total, completed=done, words=words + _about(left))

        return _interruptible(lambda: sample(problem, fit, count, seed=seed, on_step=on_step), stop)


class _Stopped(Exception):
    """Raised within a program of jax to end it."""


def _interruptible(work: Callable[[], Draws], stop: Event) -> Draws:
    """``work()`` in a thread of its own: this one hears Ctrl-C, which a program of jax does not, and sets ``stop``.

    Raises `KeyboardInterrupt` once the work has ended by that, and what the work raises.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            while not future.done():
                wait([future], timeout=0.2)
        except KeyboardInterrupt:
            stop.set()
            logging.disable(logging.ERROR)  # jax logs what a callback raises
            wait([future])
            logging.disable(logging.NOTSET)
            raise
        return future.result()


def _asked_profiles(plan: FitPlan, problem: CalibrationProblem, names: Sequence[str]) -> tuple[str, ...]:
    """The parameters to profile, ``all`` for every one of one number.

    Raises `ValueError` for one that is not there, and for a fit that stops before its misfit is least.
    """
    if not names:
        return ()
    if plan.patience is not None:
        raise ValueError(
            "--profile: a profile starts where the misfit is least, and a fit with 'patience' stops before."
        )
    found = []
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


def _follow(problem: CalibrationProblem, fit: Fit, names: Sequence[str], found: dict[str, LikelihoodProfile]) -> None:
    """Add the profiles of parameters about a fit to ``found``, with a progress bar."""
    if not names:
        return
    each = 2 * _POINTS
    with progress() as bar:
        task, left = bar.add_task("Profiling", total=each * len(names), words="compiling"), Remaining(each * len(names))
        for number, name in enumerate(names):

            def on_point(deviation: float, name: str = name) -> None:
                nonlocal left
                bar.update(task, advance=1)
                left = left.after(monotonic(), int(bar.tasks[task].completed))
                bar.update(task, words=f"{name} at {deviation:+.2g} standard deviations{_about(left)}")

            found[name] = profile_likelihood(problem, fit, name, points=_POINTS, on_point=on_point)
            bar.update(task, completed=each * (number + 1))


def _about(left: Remaining) -> str:
    """The time left, where it is known and there is any, after other words."""
    return f"  {time_left(left.seconds_left, most=False)}" if left.seconds_left else ""
