"""What a verification case is: a problem with a known answer, and the checks that compare with it."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

Kind = Literal["relative", "absolute", "order", "bound", "count"]
"""How a computed value is compared with its reference; see `Check`."""

CHAPTERS = {
    "heat": "Steady heat conduction",
    "transient": "Transient heat conduction",
    "potential": "Potential problems",
    "elasticity": "Elastostatics",
    "vibration": "Vibration",
    "dynamics": "Dynamic and harmonic analyses",
    "materials": "Nonlinear materials and thermal stress",
    "frames": "Trusses, beams and frames",
    "ode": "Ordinary differential equations and circuits",
    "patch": "Patch tests",
    "rigid": "Rigid-body motions",
    "conservation": "Conservation and symmetry",
    "convergence": "Orders of convergence",
    "time": "Time integration",
    "gradients": "Gradients",
    "crosscheck": "Cross-checks with other programs",
}
"""Titles of the chapters of the manual, in their order, by the names of the groups."""

Run = Callable[[], Sequence["Check"]]
"""Computes a case."""


@dataclasses.dataclass(frozen=True)
class Check:
    r"""One number beside its reference.

    Kinds, with $c$ computed, $r$ the reference and $t$ the tolerance:

    - ``relative``: the error $|c - r| / |r|$ is at most $t$;
    - ``absolute``: the error $|c - r|$ is at most $t$;
    - ``order``: an observed order of convergence; the error $r - c$ is at most $t$ (more than theory promises is good);
    - ``bound``: the error $c - r$ is at most $t$, which is zero unless the bound itself is rounded;
    - ``count``: $c = r$, both whole numbers.

    A value that is not finite fails.
    """

    quantity: str
    reference: float
    computed: float
    tolerance: float
    kind: Kind
    unit: str

    @property
    def error(self) -> float:
        """The error that is compared with the tolerance; see the kinds."""
        off = self.computed - self.reference
        if self.kind == "order":
            return -off
        if self.kind == "bound":
            return off
        if self.kind == "relative":
            return abs(off / self.reference) if self.reference else (math.inf if off else 0.0)
        return abs(off)

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; False where it is not a number."""
        return math.isfinite(self.computed) and self.error <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem with a known answer.

    Attributes:
        name: lower-case words joined by hyphens; unique.
        group: which chapter of the manual it belongs to, a key of `CHAPTERS`.
        title: one line.
        equations: the mathematics, as Markdown with LaTeX.
        setup: mesh, element, boundary conditions and numbers in words.
        source: where the reference comes from.
        run: computes the checks; needs double precision.
        slow: whether it takes more than about ten seconds on two cores.
        needs: optional programs without which it cannot run: names in `gemel.engine.verification.needs`.
    """

    name: str
    group: str
    title: str
    equations: str
    setup: str
    source: str
    run: Run
    slow: bool = False
    needs: tuple[str, ...] = ()


def case(
    name: str,
    *,
    group: str,
    title: str,
    equations: str,
    setup: str,
    source: str,
    slow: bool = False,
    needs: tuple[str, ...] = (),
) -> Callable[[Run], Case]:
    """Make a `Case` of the function that computes its checks; for use as a decorator."""

    def make(run: Run) -> Case:
        return Case(name, group, title, equations, setup, source, run, slow, needs)

    return make


def relative(quantity: str, reference: Any, computed: Any, tolerance: float, unit: str = "") -> Check:
    """A value compared relative to its reference."""
    return Check(quantity, float(reference), float(computed), float(tolerance), "relative", unit)


def absolute(quantity: str, reference: Any, computed: Any, tolerance: float, unit: str = "") -> Check:
    """A value compared in its own unit."""
    return Check(quantity, float(reference), float(computed), float(tolerance), "absolute", unit)


def order(quantity: str, theory: float, observed: Any, tolerance: float = 0.2) -> Check:
    """An observed order of convergence: at least the theory's, less the tolerance."""
    return Check(quantity, float(theory), float(observed), float(tolerance), "order", "")


def bound(quantity: str, limit: Any, computed: Any, unit: str = "") -> Check:
    """A value that must not exceed a limit."""
    return Check(quantity, float(limit), float(computed), 0.0, "bound", unit)


def count(quantity: str, expected: int, found: Any) -> Check:
    """A whole number that must be met exactly."""
    return Check(quantity, float(expected), float(found), 0.0, "count", "")
