"""Draws from a posterior for people: a table, a picture, and sentences on whether to rely on them."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.markup import escape
from rich.table import Table
from scipy.stats import norm

from gemel.bindings.report import LINE, MEASURED, TWIN, legend_above, number, panels, save, with_unit
from gemel.engine import Draws, Fit, agrees_with_laplace
from gemel.engine.calibration.sampling import AGREED, INDEPENDENT
from gemel.engine.units import from_si, written

_COLUMNS, _SHOWN = 3, 24
"""How many panels are drawn side by side, and in all."""


def draws_table(fit: Fit, draws: Draws) -> Table:
    """The interval of the normal approximation beside that of the draws, and how far these can be relied on."""
    table = Table(title=f"95 % intervals, {_words(draws)}", title_justify="left")
    table.add_column("parameter")
    for heading in ("normal", "draws"):
        table.add_column(heading, justify="center")
    table.add_column("unit")
    for heading in ("R-hat", "effective draws"):
        table.add_column(heading, justify="right")
    for row in draws_rows(fit, draws):
        table.add_row(escape(row["name"]), *(row[key] for key in ("normal", "draws", "unit", "r_hat", "effective")))
    return table


def draws_rows(fit: Fit, draws: Draws) -> list[dict[str, str]]:
    """What the table says, for pages: a row for each parameter of one number."""
    intervals = draws.interval()
    return [
        {
            "name": row.name,
            "normal": " … ".join(number(from_si(end, row.unit)) for end in row.interval),
            "draws": " … ".join(number(from_si(end, row.unit)) for end in intervals[row.name]),
            "unit": written(row.unit),
            "r_hat": f"{draws.r_hat[row.name]:.3f}",
            "effective": f"{draws.effective[row.name]:.0f}",
        }
        for row in fit.table()
    ]


def draws_figures(fit: Fit, draws: Draws) -> dict[str, Any]:
    """Draws in numbers, intervals in SI units."""
    agree = agrees_with_laplace(draws, fit)
    return {
        "chains": draws.z.shape[0],
        "draws": draws.z.shape[1],
        "reliable": draws.reliable,
        "divergent": draws.divergent,
        "parameters": {
            name: {
                "interval": list(interval),
                "agrees_with_normal": agree[name],
                "r_hat": draws.r_hat[name],
                "effective": draws.effective[name],
            }
            for name, interval in draws.interval().items()
        },
    }


def draws_remarks(fit: Fit, draws: Draws) -> list[str]:
    """Whether the draws are reliable, why not, and for which parameters they say something else than the fit."""
    agree = agrees_with_laplace(draws, fit)
    others = [name for name, same in agree.items() if not same]
    found = [
        "The draws are reliable: the chains agree, and hardly a step diverged." if draws.reliable else doubts(draws)
    ]
    if not others:
        found.append("They agree with the normal intervals within a quarter of half their width.")
    elif draws.reliable:
        found.append(f"Not normal about the fit: {', '.join(others)}; take the intervals of the draws.")
    else:
        found.append(f"They differ from the normal intervals of {', '.join(others)}.")
    return found


def _words(draws: Draws) -> str:
    chains, count = draws.z.shape[:2]
    return f"{chains} chains of {count} draws, {100 * draws.divergent:.2g} % of the steps diverged"


def doubts(draws: Draws) -> str:
    """Why draws cannot be relied on, and what would help."""
    worst, least = max(draws.r_hat, key=draws.r_hat.__getitem__), min(draws.effective, key=draws.effective.__getitem__)
    reasons = []
    if not draws.r_hat[worst] < AGREED:
        reasons.append(
            f"the chains do not agree on {worst} (an R-hat of {draws.r_hat[worst]:.3f}, not under {AGREED:g})"
        )
    if not draws.effective[least] >= INDEPENDENT:
        reasons.append(f"those of {least} are worth {draws.effective[least]:.0f} independent ones, not {INDEPENDENT}")
    advice = f"ask for --sample {_enough(draws)}"
    if not draws.divergent < 0.01:
        reasons.append(f"{100 * draws.divergent:.2g} % of the steps diverged, not under 1 %")
        advice += ", or narrow the priors to where the model can be run"
    return f"Do not rely on these draws: {', and '.join(reasons)}. To get better ones {advice}."


def _enough(draws: Draws) -> int:
    """About how many draws of each chain would be enough: half as many again as the effective ones ask for, twice as
    many where only the chains do not agree, and a number that is easy to say.
    """
    count, least = draws.z.shape[1], min(draws.effective.values())
    lacking = 1.5 * INDEPENDENT / least if least < INDEPENDENT else 1.0
    disagree = any(not value < AGREED for value in draws.r_hat.values())
    return 50 * int(np.ceil(count * max(lacking, 2.0 if disagree else 1.0, 200 / count) / 50))


def plot_draws(path: Path, fit: Fit, draws: Draws) -> None:
    """Draw the marginal distribution of each parameter of one number into a PNG, beside that of the normal
    approximation, with their 95 % intervals.
    """
    values = {name: one for name, one in draws.values().items() if one.ndim == 1}
    names = list(values)[:_SHOWN]
    drawing, axes = panels(len(names), _COLUMNS)
    for axis, name in zip(axes, names, strict=True):
        _draw(axis, fit, draws, name, values[name])
    legend_above(drawing, axes[0])
    save(drawing, path)


def _draw(axis: Any, fit: Fit, draws: Draws, name: str, values: np.ndarray) -> None:
    """One parameter: on a logarithmic axis densities are of the logarithm."""
    belief = fit.belief
    parameter, place = belief.parameters[belief.names.index(name)], belief.places[name].start
    mean, spread = float(belief.mean[place]), np.sqrt(float(belief.covariance[place, place]))
    fine = np.linspace(-4.0, 4.0, 401)
    shown = from_si(values, parameter.unit)
    x = from_si(np.asarray(parameter.prior.value(jnp.asarray(mean + fine * spread))), parameter.unit)
    least, most = min(x[20], np.min(shown)), max(x[-20], np.max(shown))
    logarithmic = bool(least > 0 and most > 20 * least)
    scaled, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    edges = np.linspace(scaled(np.min(shown)), scaled(np.max(shown)), int(np.clip(np.sqrt(len(shown)), 10, 40)) + 1)
    heights, _ = np.histogram(scaled(shown), edges, density=True)
    axis.stairs(heights, back(edges), fill=True, color=TWIN, alpha=0.4, label="draws")
    density = norm.pdf(fine) / np.maximum(np.gradient(scaled(x), fine), 1e-300)
    axis.plot(x, density, color=MEASURED, lw=1.2, label="normal approximation")
    row = next(row for row in fit.table() if row.name == name)
    for ends, colour, style, label in (
        (draws.interval()[name], TWIN, "-", "95 % of the draws"),
        (row.interval, LINE, "--", "95 % by the normal approximation"),
    ):
        for i, end in enumerate(ends):
            axis.axvline(from_si(end, parameter.unit), color=colour, lw=0.9, ls=style, label=None if i else label)
    if logarithmic:
        axis.set_xscale("log")
    axis.set_yticks([])
    axis.set_xlabel(with_unit(name, parameter.unit))
