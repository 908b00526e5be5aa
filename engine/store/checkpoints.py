"""Calibrations that survive being killed: their state is on disk after every step.

A checkpoint is an ``.npz`` of the leaves of a `FitState`, the costs so far, a fingerprint of what is being fitted, and
a note of what was asked for. The structure of the state is not stored: the solver says it again, without computing
anything.
"""

import dataclasses
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gemel.engine.calibration import (
    CalibrationProblem,
    Fit,
    Loss,
    conclude,
    conclude_shooting,
    multistart,
    residual,
    shooting_residual,
)
from gemel.engine.calibration.shooting import shooting_stages, shooting_steps
from gemel.engine.signals import Record
from gemel.engine.store.files import write_atomically
from gemel.engine.twin import Twin
from gemel.solvers.early_stopping import EarlyStopping
from gemel.solvers.least_squares import FitState, LeastSquaresSolver

OnStep = Callable[[FitState], None]


class OtherProblemError(ValueError):
    """A checkpoint belongs to another twin, other data or a solver of other settings."""


def fingerprint(problem: CalibrationProblem, solver: LeastSquaresSolver, document: str = "") -> str:
    """A digest of all that decides the course of a fit: the twin, the data, the solver, the document.

    The preconditioner of the twin is left out: its set-up may use random numbers and changes no result.
    """
    digest = hashlib.sha256(document.encode())
    twin = problem.twin
    method = jax.tree.map(_without_preconditioner, solver, is_leaf=lambda node: isinstance(node, Twin))
    digest.update(_words(method))
    tree = (twin.analysis, twin.sensors, twin.belief, problem.belief, problem.experiments, repr(problem.loss), method)
    which = [(name, one.names, one.places) for name, one in problem.experiments.items()]
    leaves, structure = jax.tree.flatten((tree, which))
    digest.update(_words(structure))  # where a sensor stands and what a shape is are no leaves
    for leaf in leaves:
        if eqx.is_array_like(leaf):
            values = np.asarray(leaf)
            digest.update(f"{values.dtype}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        else:
            digest.update(_words(leaf))
    return digest.hexdigest()


def _words(thing: Any) -> bytes:
    """What is written of something, without where it is in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing)).encode()


def _without_preconditioner(node: Any) -> Any:
    return (node.analysis, node.sensors, node.belief) if isinstance(node, Twin) else node


def _unlimited(solver: LeastSquaresSolver) -> LeastSquaresSolver:
    """A method but for its limit of steps."""
    if isinstance(solver, EarlyStopping):
        return dataclasses.replace(solver, solver=_unlimited(solver.solver))
    return dataclasses.replace(solver, max_steps=1) if hasattr(solver, "max_steps") else solver


def save_checkpoint(path: Path, mark: str, state: FitState, costs: Sequence[float], note: str = "") -> None:
    """Replace the checkpoint at ``path``; a kill at any moment leaves the old one or the new one."""
    arrays: dict[str, Any] = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    stream = io.BytesIO()
    np.savez(stream, mark=np.asarray(mark), note=np.asarray(note), costs=np.asarray(costs, dtype=float), **arrays)
    write_atomically(path, stream.getvalue())


def load_checkpoint(path: Path, mark: str, like: Any) -> tuple[FitState, list[float]] | None:
    """The state and the costs at ``path``, or None where there is no checkpoint.

    Args:
        path: the file.
        mark: the `fingerprint` of the fit that is to continue.
        like: the structure of its state, from ``eqx.filter_eval_shape``.

    Raises:
        OtherProblemError: where the checkpoint is of another fit, or damaged.
    """
    found = mark_of(path)
    if found is None:
        return None
    if found != mark:
        raise OtherProblemError(
            f"The checkpoint '{path}' belongs to another twin, other data or other settings of the fit."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            expected, tree = jax.tree.flatten(like)
            leaves = [file[f"leaf_{i}"] for i in range(len(expected))]
            costs = [float(cost) for cost in file["costs"]]
    except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise OtherProblemError(f"The checkpoint '{path}' is damaged.") from error
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(leaves, expected, strict=True)):
        raise OtherProblemError(f"The checkpoint '{path}' was written in another precision or by another version.")
    return jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in leaves]), costs


def mark_of(path: Path) -> str | None:
    """The mark of the checkpoint at ``path``, None where there is none.

    Raises `OtherProblemError` for a damaged one.
    """
    return None if not path.is_file() else _text_in(path, "mark")


def note_of(path: Path) -> str:
    """What was asked for of the fit whose checkpoint is at ``path``, as it was noted; "" where nothing is known.

    Raises `OtherProblemError` for a damaged checkpoint.
    """
    return "" if not path.is_file() else _text_in(path, "note", "")


def _text_in(path: Path, key: str, otherwise: str | None = None) -> str:
    """A text of a checkpoint; ``otherwise`` where it has none of that key, which is damage where that is None."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return otherwise if otherwise is not None and key not in file else str(file[key])
    except (OSError, KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise OtherProblemError(f"The checkpoint '{path}' is damaged.") from error


def resumable_calibrate(
    twin: Twin,
    record: Record | Mapping[str, Record],
    solver: LeastSquaresSolver,
    sensors: Sequence[str] | None,
    path: Path,
    *,
    document: str = "",
    note: str = "",
    restart: bool = False,
    on_resume: OnStep | None = None,
    on_step: OnStep | None = None,
    loss: Loss | None = None,
    starts: int = 1,
    windows: int | None = None,
    own: Sequence[str] = (),
    start: np.ndarray | None = None,
) -> Fit:
    """Calibrate as `gemel.calibrate` does, from the checkpoint at ``path`` where there is one.

    A fit from one start may go on with another limit of steps, and then takes the course that it would have taken with
    it; with several, or in windows, the limit decides where it begins.

    Args:
        twin, record, solver, sensors, loss, own: as in `gemel.calibrate`.
        path: the checkpoint; its folder exists.
        document: text that belongs to the problem, such as the twin file.
        note: text that is kept with the state and changes nothing, such as the options of the fit; see `note_of`.
        restart: start anew whatever is at ``path``.
        starts: from how many points to fit at once before the best goes on; see `multistart`.
        windows: begin where multiple shooting with so many ends; see `shooting_start`. Its steps, which are counted
            from 0 for each tightness, are kept and told as those of the fit are.
        start: standardised parameters from which to fit, such as those of an earlier fit, instead of from ``starts``
            points or ``windows``; the prior stays that of the twin.
        on_resume: called with the state from which the fit continues; one that is finished has ended.
        on_step: called with the state after it is on disk, after the start and after every step.

    Raises:
        ValueError: for data that do not fit the twin.
        OtherProblemError: where the checkpoint is of another fit, or damaged.
    """
    problem = CalibrationProblem.of(twin, record, sensors, loss, own)
    mark = _mark(problem, solver, document, starts, windows, start)
    like = eqx.filter_eval_shape(solver.init, residual, problem.start(), problem)
    if start is None and windows is not None:
        begun = None if restart else mark_of(path)
        if begun != mark:
            inner = solver.solver if isinstance(solver, EarlyStopping) else solver
            start = _shot(problem, windows, inner, (path, mark, note), begun, on_resume, on_step)
            restart = True
    found = None if restart else load_checkpoint(path, mark, like)
    if found is None:
        if start is None and starts > 1:
            state = multistart(problem, starts, solver=solver).best
        else:
            state = solver.init(residual, problem.start(start), problem)
        costs = [float(state.cost)]
        save_checkpoint(path, mark, state, costs, note)
    else:
        state, costs = solver.under_limit(found[0]), found[1]
        if on_resume:
            on_resume(state)
    if on_step:
        on_step(state)
    for state in solver.steps(residual, state, problem):  # noqa: B020
        costs.append(float(state.cost))
        save_checkpoint(path, mark, state, costs, note)
        if on_step:
            on_step(state)
    return conclude(problem, state, jnp.asarray(costs))


def _mark(
    problem: CalibrationProblem,
    solver: LeastSquaresSolver,
    document: str,
    starts: int,
    windows: int | None,
    start: np.ndarray | None,
) -> str:
    """The `fingerprint` of a fit and of where it begins; the limit of steps is no part of it from one point."""
    begin = "" if start is None else f" {np.asarray(start, dtype=float).tolist()}"
    cut = "" if windows is None else f" in {windows} windows"
    plain = start is not None or (starts == 1 and windows is None)
    return fingerprint(problem, _unlimited(solver) if plain else solver, f"{document} {starts}{cut}{begin}")


def _shot(
    problem: CalibrationProblem,
    windows: int,
    solver: LeastSquaresSolver,
    kept: tuple[Path, str, str],
    begun: str | None,
    on_resume: OnStep | None,
    on_step: OnStep | None,
) -> np.ndarray:
    """Where multiple shooting ends, from the checkpoint where there is one, marked ``begun``; ``kept`` are the path of
    what is written, its mark and its note.

    Raises as `resumable_calibrate` does.
    """
    path, mark, note = kept
    stages = shooting_stages(problem, windows)
    marks = [f"{mark} {stage}" for stage in range(len(stages))]
    stage, state = 0, None
    if begun is not None:
        stage = marks.index(begun) if begun in marks else 0
        first = stages[stage]
        like = eqx.filter_eval_shape(solver.init, shooting_residual, first.start(), first)
        state, _ = load_checkpoint(path, marks[stage], like) or (None, [])
        if state is not None and on_resume:
            on_resume(state)
        if state is not None and on_step:
            on_step(state)
    for stage, state in shooting_steps(stages, solver, stage, state):  # noqa: B020
        save_checkpoint(path, marks[stage], state, [], note)
        if on_step:
            on_step(state)
    assert state is not None
    return np.asarray(conclude_shooting(stages[-1], state, state.cost[None]).fit.twin.belief.mean)
