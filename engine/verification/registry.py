"""All cases, in the order of the manual."""

from collections.abc import Sequence

from gemel.engine.verification.case import Case
from gemel.engine.verification.cases import (
    cells,
    conservation,
    convergence,
    convergence_motion,
    convergence_solids,
    crosscheck,
    crosscheck_cook,
    crosscheck_nonlinear,
    dynamics,
    elasticity,
    frames,
    gradients,
    gradients_solids,
    heat,
    integrators,
    materials,
    ode,
    patch,
    potential,
    rigid,
    solids,
    thermoelastic,
    transient,
    vibration,
)
from gemel.names import listed

CASES: tuple[Case, ...] = (
    *heat.CASES,
    *cells.CASES,
    *transient.CASES,
    *potential.CASES,
    *elasticity.CASES,
    *solids.CASES,
    *vibration.CASES,
    *dynamics.CASES,
    *materials.CASES,
    *thermoelastic.CASES,
    *frames.CASES,
    *ode.CASES,
    *patch.CASES,
    *rigid.CASES,
    *conservation.CASES,
    *convergence.CASES,
    *convergence_solids.CASES,
    *convergence_motion.CASES,
    *integrators.CASES,
    *gradients.CASES,
    *gradients_solids.CASES,
    *crosscheck.CASES,
    *crosscheck_cook.CASES,
    *crosscheck_nonlinear.CASES,
)
"""Every case, chapter by chapter."""


def groups() -> tuple[str, ...]:
    """The groups that have cases, in order."""
    return tuple(dict.fromkeys(case.group for case in CASES))


def select(names: Sequence[str] = (), group: str | None = None, slow: bool = False) -> tuple[Case, ...]:
    """The cases of these names, or of a chapter, or all.

    Args:
        names: cases by name; they are taken even where they are slow.
        group: a chapter; all when None.
        slow: whether to take the slow ones, too.

    Raises:
        ValueError: for a name or a chapter that does not exist, or a case that is not in the chapter.
    """
    known = {case.name: case for case in CASES}
    if group is not None and group not in groups():
        raise ValueError(f"There is no group '{group}': the groups are {listed(group, groups())}")
    for name in names:
        if name not in known:
            raise ValueError(f"There is no case '{name}': the cases are {listed(name, known)}")
        if group is not None and known[name].group != group:
            raise ValueError(f"The case '{name}' belongs to the group '{known[name].group}', not '{group}'.")
    return tuple(
        case
        for case in CASES
        if (group is None or case.group == group) and (case.name in names if names else slow or not case.slow)
    )
