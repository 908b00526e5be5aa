"""The page in which a calibration ends: a verdict with its reasons, pictures and tables, for someone who decides."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import jinja2
import numpy as np

from gemel.bindings.laws import plot_laws
from gemel.bindings.pictures import plot_images
from gemel.bindings.plan import FitPlan
from gemel.bindings.report import LINE, MEASURED, TWIN, draw_far, figure, number, one_each, save, time_axis
from gemel.engine import Fit, Forecast, Judgement, Loss, Record, Score, Twin, identifiability
from gemel.engine.calibration.scores import FAR, correlations
from gemel.engine.datareport import duration
from gemel.engine.losses import density_of, loss_words
from gemel.engine.noise import whitened
from gemel.engine.store.files import write_atomically
from gemel.engine.units import difference_from_si, difference_unit, from_si, written

_COLOURS = {"usable": "#15803d", "usable with care": "#b45309", "not determined": "#b45309", "not usable": "#b91c1c"}
_LAGS = 40


def write_page(
    path: Path,
    fit: Fit,
    plan: FitPlan,
    runs: Mapping[str, Forecast],
    judgement: Judgement,
    unseen: tuple[Forecast, Record] | None,
    certainty: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write the page, whole or not at all; its pictures are inside it. Returns the names of those that it drew.

    Args:
        path: the HTML file; beside it lie the pictures ``forecast.png`` (of several experiments ``forecast-NAME.png``)
            and, with unseen data, ``validation.png``; there go those of the residuals,
            ``residuals.png``, and of measured images, ``image-NAME.png`` and ``validation-NAME.png``; and of the laws
            of neural terms, ``laws.png``.
        fit: the calibration.
        plan: what was fitted, and how.
        runs: a free run at the times of each experiment.
        judgement: of the fit.
        unseen: a free run over data of their own that it was judged on, and these data; None where there were none.
        certainty: sections of `Certainty`, where it was asked for, whose pictures lie beside the page.
    """
    twin, folder = fit.twin, path.parent
    residuals, images, drawn = _pictures_of(runs, fit, plan, folder)
    unseen_images = {}
    if unseen is not None:
        found = plot_images(folder, twin, unseen[0].run, unseen[1], stem="validation")
        unseen_images, drawn = _all_inside(found), drawn + [picture.name for picture in found.values()]
    law_picture = path.with_name("laws.png")
    laws = plot_laws(law_picture, fit, plan.fitted)
    if laws:
        drawn.append(law_picture.name)
    held = [score for score in judgement.scores if score.part != "fitted"]
    text = template("calibration.html").render(
        title=twin.name,
        description=twin.description,
        judgement=judgement,
        data=plan.remarks(),
        colour=_COLOURS[judgement.verdict],
        naive=list(dict.fromkeys(kind for score in held for kind in score.naive)),
        held=[_score_row(twin, score) for score in held],
        forecasts={name: inside(path.with_name(f"{file_name('forecast', name)}.png")) for name in runs},
        images=images,
        timed=any(record.times is not None for record in plan.measured.values()),
        warnings=_warned(runs),
        laws=laws,
        law_picture=inside(law_picture) if laws else "",
        validation_warnings=() if unseen is None else unseen[0].run.warnings,
        validation="" if unseen is None else inside(path.with_name("validation.png")),
        validation_images=unseen_images,
        parameters=[_parameter_row(row) for row in fit.table()],
        arrays=[_array_row(row) for row in fit.arrays()],
        directions=_directions(fit),
        **{
            kind: {**section, "picture": inside(path.with_name(section["picture"]))}
            for kind, section in (certainty or {}).items()
        },
        shares=[
            _share_row(forecast, label, members, name)
            for name, forecast in runs.items()
            for label, members in twin.grouped([sensor.name for sensor in twin.sensors]).items()
        ],
        residuals=residuals,
        how=_how(fit, plan),
        version=version(),
    )
    write_atomically(path, text.encode())
    return drawn


def file_name(stem: str, experiment: str) -> str:
    """What a file of an experiment is called, without its ending."""
    return f"{stem}-{experiment}" if experiment else stem


def _warned(runs: Mapping[str, Forecast]) -> list[str]:
    """What runs warn of, with the experiment where it has a name."""
    told = [(name, sentence) for name, forecast in runs.items() for sentence in forecast.run.warnings]
    return [f"{name}: {sentence}" if name else sentence for name, sentence in told]


def _directions(fit: Fit) -> list[dict[str, str]]:
    """Directions in the space of parameters, and how much of what was uncertain along each still is."""
    found = identifiability(fit.prior, fit.belief)
    return [{"words": each.words(), "left": f"{100 * np.sqrt(each.remaining):.3g} %"} for each in found]


def _share_row(forecast: Forecast, sensor: str, members: Sequence[str], experiment: str) -> dict[str, str]:
    """From where the band of a sensor comes, in per cent of its variance; of an image, the mean over its pixels."""
    label = f"{sensor} ({experiment})" if experiment else sensor
    shares = [forecast.shares(member) for member in members]
    means = {part: np.mean([one[part] for one in shares]) for part in shares[0]}
    return {"sensor": label, **{part: f"{100 * share:.0f} %" for part, share in means.items()}}


def plot_residuals(path: Path, twin: Twin, forecast: Forecast, plan: FitPlan, experiment: str) -> bool:
    """Draw the residuals of an experiment's fitted samples into a PNG: over time, their correlation and distribution.

    Returns whether there was anything to draw: records without time have no such picture.
    """
    record = plan.fitted[experiment]
    if record.times is None or forecast.run.times is None:
        return False
    fitted = [name for name in twin.each(plan.sensors or tuple(record.readings)) if name in record.readings]
    shown = dict(list(one_each(twin, fitted).items())[:6])
    if not shown:
        return False
    times, _, unit = time_axis(np.asarray(record.times))
    drawing, axes = figure(len(shown), 3, (2.4, 1.3, 1.7))
    for row, (name, label) in zip(axes, shown.items(), strict=True):
        at = np.interp(
            np.asarray(record.times), np.asarray(forecast.run.times), np.asarray(forecast.run.readings[name])
        )
        error = np.asarray(record.readings[name], dtype=float) - at
        known = np.isfinite(error)
        error = np.asarray(whitened(twin.noise(name), record.times, jnp.asarray(error), known))
        _draw_residual(row, label, times[known], error[known], twin.loss)
    axes[0][0].set_title("measured - twin, in units of the noise", loc="left", fontsize=10)
    axes[0][1].set_title("correlation over samples", loc="left", fontsize=10)
    axes[0][2].set_title("density", loc="left", fontsize=10)
    axes[0][2].legend(loc="upper right", fontsize=7, frameon=False)
    axes[-1][1].set_xlabel("samples apart")
    axes[-1][2].set_xlabel("in units of the noise")
    axes[-1][0].set_xlabel(f"time [{unit}]")
    save(drawing, path)
    return True


def _draw_residual(row: Any, name: str, times: np.ndarray, error: np.ndarray, loss: Loss) -> None:
    """One sensor; what is further off than `FAR` is drawn at the edge."""
    over, lags, spread = row
    over.axhline(0.0, color=MEASURED, lw=0.8)
    over.plot(times, error, ".", color=TWIN, ms=2.5)
    over.set_ylabel(name)
    if np.any(np.abs(error) > FAR):  # what lies far off must not hide the rest
        over.set_ylim(-1.1 * FAR, 1.1 * FAR)
        far = np.abs(error) > FAR
        draw_far(over, times[far], error[far], 1.05 * FAR)
    limit = 2 / np.sqrt(max(len(error), 1))
    found = correlations(np.clip(error, -FAR, FAR), min(_LAGS, len(error) // 2))
    lags.bar(np.arange(1, len(found) + 1), found, color=TWIN, width=0.8)
    for side in (-limit, limit):
        lags.axhline(side, color=LINE, lw=0.8, ls="--")
    lags.set_ylim(-1, 1)
    reach = max(4.0, float(np.max(np.abs(np.clip(error, -FAR, FAR)), initial=0.0)))
    count = int(np.clip(0.74 * reach * np.cbrt(len(error)), 8, 80))  # Freedman and Diaconis, of normal noise
    edges = np.linspace(-reach, reach, count + 1)
    heights = np.histogram(error, edges)[0] / (max(len(error), 1) * np.diff(edges))
    spread.stairs(heights, edges, fill=True, color=TWIN, alpha=0.6, label="found")
    if beyond := int(np.sum(np.abs(error) > reach)):
        spread.text(0.02, 0.97, f"{beyond} further off", transform=spread.transAxes, fontsize=7, va="top")
    places = np.linspace(-reach, reach, 201)
    spread.plot(places, density_of(loss, places), color=MEASURED, lw=1.5, label=f"assumed:\n{_noise_words(loss)}")
    spread.set_yticks([])
    for axis in row:
        axis.grid(alpha=0.25)


def _pictures_of(
    runs: Mapping[str, Forecast], fit: Fit, plan: FitPlan, folder: Path
) -> tuple[dict[str, str], dict[str, dict[str, str]], list[str]]:
    """Residuals and images of each experiment as parts of a page, and the names of their files."""
    residuals, images, drawn = {}, {}, []
    for name, forecast in runs.items():
        picture = folder / f"{file_name('residuals', name)}.png"
        if plot_residuals(picture, fit.twin_in(name), forecast, plan, name):
            residuals[name] = inside(picture)
            drawn.append(picture.name)
        there, record = fit.twin_in(name), plan.measured[name]
        found = plot_images(folder, there, forecast.run, record, plan.fitted[name], name)
        images[name], drawn = _all_inside(found), drawn + [picture.name for picture in found.values()]
    return residuals, images, drawn


def _noise_words(loss: Loss) -> str:
    """What the noise is taken for."""
    kind, *numbers = loss_words(loss).values()
    named = {"gaussian": "normal", "huber": "Huber, {:g}", "student-t": "Student-t, {:g}"}
    return named[kind].format(*numbers[0])


def template(name: str) -> jinja2.Template:
    """The template of a page."""
    folder = Path(__file__).with_name("templates")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True)
    return environment.get_template(name)


def inside(picture: Path) -> str:
    """A picture as part of a page."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def _all_inside(pictures: Mapping[str, Path]) -> dict[str, str]:
    return {name: inside(picture) for name, picture in pictures.items()}


def _score_row(twin: Twin, score: Score) -> dict[str, Any]:
    unit = twin.sensor(score.sensor).unit

    def shown(value: float) -> str:
        return number(difference_from_si(value, unit))

    return {
        "sensor": score.label if score.part == "held out" else f"{score.label}, {score.part}",
        "unit": written(difference_unit(unit)),
        "samples": score.samples,
        "rmse": shown(score.rmse),
        "naive": {kind: shown(value) for kind, value in score.naive.items()},
        "gain": "" if score.gain is None else f"{100 * score.gain:.0f} %",
        "coverage": f"{100 * score.coverage:.0f} %",
    }


def _parameter_row(row: Any) -> dict[str, Any]:
    prior, value, low, high = (number(from_si(v, row.unit)) for v in (row.prior, row.value, *row.interval))
    return {
        "name": row.name,
        "description": row.description,
        "prior": prior,
        "value": value,
        "low": low,
        "high": high,
        "unit": written(row.unit),
        "determined": f"{100 * max(row.determined, 0.0):.1f}",
    }


def _array_row(row: Any) -> dict[str, Any]:
    return {
        "name": row.name,
        "description": row.description,
        "count": row.count,
        "determined": f"{100 * max(row.determined, 0.0):.1f}",
    }


def _how(fit: Fit, plan: FitPlan) -> str:
    """Which samples, which method, how it ended."""
    names = plan.sensors or tuple(dict.fromkeys(name for record in plan.fitted.values() for name in record.readings))
    columns = [record.readings[name] for record in plan.fitted.values() for name in names if name in record.readings]
    samples = sum(int(np.isfinite(np.asarray(column)).sum()) for column in columns)
    part = "" if len(plan.fitted) == 1 else f" in {len(plan.fitted)} experiments"
    if len(plan.fitted) == 1:
        ((record, fitted),) = zip(plan.measured.values(), plan.fitted.values(), strict=True)
        if record.times is not None and fitted.times is not None and len(fitted.times) < len(record.times):
            part = f", up to {duration(float(fitted.times[-1]))} of {duration(float(record.times[-1]))}"
    methods = {"LevenbergMarquardt": "Levenberg-Marquardt", "LBFGS": "L-BFGS"}
    method = methods.get(type(plan.solver).__name__, "gradient descent")
    kind = type(fit.twin.loss).__name__
    loss = {"StudentT": "Student-t"}.get(kind, kind)
    message, listed = fit.message, ", ".join(fit.twin.grouped(names))
    starts = f" from the best of {plan.starts} starts" if plan.starts > 1 else ""
    if plan.windows is not None:
        starts = f" from where multiple shooting in {plan.windows} windows ended"
    early = ""
    if plan.patience is not None:
        early = (
            f" It is the fit that met the held-out samples best, looked for {plan.patience} steps on: of these samples "
            "the twin is not wholly ignorant."
        )
    return (
        f"{samples} samples of {listed}{part}. {method[0].upper()}{method[1:]} with a {loss} loss{starts}: "
        f"{fit.steps} steps, the misfit fell from {float(fit.costs[0]):.4g} to {float(fit.costs[-1]):.4g}. "
        f"{message[0].upper()}{message[1:]}{early}"
    )


def version() -> str:
    """The version that pages name."""
    import gemel

    return gemel.__version__
