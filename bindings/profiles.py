"""Profile likelihoods for people: a table, a picture, and sentences where they say something else than the fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from gemel.bindings.report import LINE, MEASURED, TWIN, legend_above, number, panels, save, with_unit
from gemel.engine import Fit, LikelihoodProfile
from gemel.engine.calibration.judgement import UNDETERMINED
from gemel.engine.calibration.profiles import LIMIT_95
from gemel.engine.units import from_si, written

_COLUMNS = 3
_TOP = 9.0
"""The greatest excess that is drawn."""


def profile_table(fit: Fit, profiles: Sequence[LikelihoodProfile]) -> Table:
    """The interval of the normal approximation beside that of the profile, each in the unit of its parameter."""
    table = Table(title="95 % intervals", title_justify="left")
    table.add_column("parameter")
    for heading in ("value", "normal", "profile"):
        table.add_column(heading, justify="right" if heading == "value" else "center")
    table.add_column("unit")
    for row in profile_rows(fit, profiles):
        table.add_row(escape(row["name"]), row["value"], row["normal"], row["profile"], row["unit"])
    return table


def profile_rows(fit: Fit, profiles: Sequence[LikelihoodProfile]) -> list[dict[str, str]]:
    """What the table says, for pages."""
    rows = {row.name: row for row in fit.table()}
    found = []
    for profile in profiles:
        row = rows[profile.name]
        low, high = (None if end is None else number(from_si(end, row.unit)) for end in profile.interval)
        found.append(
            {
                "name": profile.name,
                "value": number(from_si(row.value, row.unit)),
                "normal": " … ".join(number(from_si(end, row.unit)) for end in row.interval),
                "profile": f"{low or 'not bounded below'} … {high or 'not bounded above'}",
                "unit": written(row.unit),
            }
        )
    return found


def profile_figures(profiles: Sequence[LikelihoodProfile]) -> dict[str, Any]:
    """The profiles in numbers, in SI units; an end without a number is null."""
    return {
        one.name: {
            "interval": list(one.interval),
            "agrees_with_normal": one.agrees_with_laplace(),
            "share_of_data": list(one.shares),
            "searched": [float(one.deviations[0]), float(one.deviations[-1])],
            "values": one.values.tolist(),
            "excess": one.excess.tolist(),
            "excess_of_data": one.data.tolist(),
            "lower_misfit": one.gain,
            "unconverged": one.unconverged,
        }
        for one in profiles
    }


def profile_remarks(fit: Fit, profiles: Sequence[LikelihoodProfile]) -> list[str]:
    """A sentence for all in which profiles and fit disagree, for ends that the data do not set, and for fits of the
    others that were not finished; one where there is nothing of that.
    """
    units = {row.name: row.unit for row in fit.table()}
    found = [line for one in profiles for line in _remarks(one, units[one.name])]
    agreed = [one.name for one in profiles if one.agrees_with_laplace()]
    if len(agreed) == len(profiles):
        return [*found, "All profiles agree with the normal intervals within a quarter of half their width."]
    return found


def _remarks(profile: LikelihoodProfile, unit: str) -> list[str]:
    name, found = profile.name, []

    def shown(value: float) -> str:
        return f"{number(from_si(value, unit))} {written(unit)}".rstrip()

    if profile.gain > 0:
        place = shown(profile.values[np.argmin(profile.excess)])
        found.append(
            f"Along {name} the misfit falls by {profile.gain:.2g} below that of the fit, at {place}: the fit is not at "
            "its minimum, and neither its values nor these intervals hold. Calibrate again with --restart, from "
            "several points ('starts' in [calibration]) or with a smaller 'tolerance'."
        )
    for i, (end, share) in enumerate(zip(profile.interval, profile.shares, strict=True)):
        side, way = (("below", "down"), ("above", "up"))[i]
        if end is None:
            reach, last = abs(float(profile.deviations[-i])), shown(profile.values[-i])
            why = "beyond which the model cannot be run" if profile.failed[i] else "as far as was searched"
            found.append(
                f"{name} is not bounded {side} by the data: the misfit stays under the limit {way} to {last}, "
                f"{reach:.3g} standard deviations from the fit, {why}."
            )
        elif share is not None and share < UNDETERMINED:
            found.append(
                f"{name} is bounded {side} by what was believed before, more than by the data: they make "
                f"{100 * share:.0f} % of what the misfit rises to that end."
            )
    if None not in profile.interval and not profile.agrees_with_laplace():
        low, high = (shown(end) for end in profile.interval if end is not None)
        found.append(f"{name} is not normal about the fit: take the interval of its profile, {low} to {high}.")
    if profile.unconverged:
        found.append(
            f"At {profile.unconverged} of {len(profile.values) - 1} values of {name} the fit of the others met no "
            "tolerance: the profile may lie lower there."
        )
    return found


def plot_profiles(path: Path, fit: Fit, profiles: Sequence[LikelihoodProfile]) -> None:
    """Draw the excess of each profile over its parameter into a PNG, beside that of the normal approximation, the part
    that is the data's, and the limit of 95 %.
    """
    drawing, axes = panels(len(profiles), _COLUMNS)
    for axis, profile in zip(axes, profiles, strict=True):
        _draw(axis, fit, profile)
    for axis in axes[::_COLUMNS]:
        axis.set_ylabel("excess: twice the\nrise of the misfit")
    legend_above(drawing, axes[0])
    save(drawing, path)


def _draw(axis: Any, fit: Fit, profile: LikelihoodProfile) -> None:
    """One profile."""
    belief, name = fit.belief, profile.name
    parameter, place = belief.parameters[belief.names.index(name)], belief.places[name].start
    spread, unit = np.sqrt(float(belief.covariance[place, place])), parameter.unit
    fine = np.linspace(profile.deviations[0], profile.deviations[-1], 301)
    x = from_si(np.asarray(parameter.prior.value(belief.mean[place] + fine * spread)), unit)
    values = from_si(profile.values, unit)
    shown = min(_TOP, 1.1 * max(LIMIT_95, float(np.max(profile.excess))))
    axis.axhline(LIMIT_95, color=LINE, lw=1, ls="--", label="limit of 95 %")
    axis.plot(x, fine**2, color=MEASURED, lw=1.2, label="normal approximation")
    axis.plot(values, profile.data, color=TWIN, lw=0.8, ls=":", label="the data's part of the profile")
    axis.plot(values, profile.excess, ".-", color=TWIN, lw=1.4, ms=5, label="profile")
    for end in profile.interval:
        if end is not None:
            axis.plot([from_si(end, unit)] * 2, [0.0, LIMIT_95], color=TWIN, lw=0.8)
    if values[0] > 0 and values[-1] > 20 * values[0]:
        axis.set_xscale("log")
    axis.set_ylim(min(-0.3, 1.1 * float(np.min(profile.excess))), shown)
    axis.set_xlabel(with_unit(name, unit))
    axis.grid(alpha=0.25)
