"""Ensembles of small initial value problems for any code that runs on JAX, with reference solutions by scipy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Ensemble(NamedTuple):
    """B members: ``rate(xp, t, y, p)`` gives the components of ẏ; initial (n, B), parameters (k, B), span (0, end).

    Error: per member the largest |yᵢ − reference| over a typical ``size`` of yᵢ; its median and its maximum over the
    members shall not exceed ``allowed``. Codes choose their relative tolerance for that, see `tolerance`, with
    ``atol_share`` of it as absolute tolerance.
    """

    name: str
    title: str
    rate: Callable[[Any, Any, Any, Any], Any]
    initial: np.ndarray
    parameters: np.ndarray
    end: float
    atol_share: float
    size: tuple[float, ...]
    allowed: tuple[float, float]
    stiff: bool

    @property
    def members(self) -> int:
        """B."""
        return self.initial.shape[1]


def _van_der_pol(xp: Any, t: Any, y: Any, p: Any) -> Any:
    return xp.stack([y[1], p[0] * (1 - y[0] ** 2) * y[1] - y[0]])


def _robertson(xp: Any, t: Any, y: Any, p: Any) -> Any:
    slow, back, fast = p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] ** 2
    return xp.stack([-slow + back, slow - back - fast, fast])


def _lorenz(xp: Any, t: Any, y: Any, p: Any) -> Any:
    return xp.stack([p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]])


def ensemble(name: str, members: int) -> Ensemble:
    """The ensemble of that name: ``van-der-pol``, ``robertson`` or ``lorenz``. Raises `KeyError` for another."""
    rng = np.random.default_rng(0)
    if name == "van-der-pol":
        initial, mu = rng.uniform(-3, 3, (2, members)), rng.uniform(4, 6, (1, members))
        title, allowed = "Van der Pol, μ from 4 to 6, to t = 20", (5e-9, 2e-7)
        return Ensemble(name, title, _van_der_pol, initial, mu, 20.0, 1e-2, (2.0, 8.0), allowed, True)
    if name == "robertson":
        initial = np.tile([[1.0], [0.0], [0.0]], (1, members))
        p = np.array([[0.04], [1e4], [3e7]]) * rng.uniform(0.5, 1.5, (3, members))
        title, allowed = "Robertson, to t = 1e5", (1e-8, 2e-8)
        return Ensemble(name, title, _robertson, initial, p, 1e5, 1e-4, (1.0, 4e-5, 1.0), allowed, True)
    if name == "lorenz":
        initial = 5 * rng.normal(size=(3, members)) + np.array([[0.0], [0.0], [25.0]])
        p = np.array([[10.0], [28.0], [8 / 3]]) * rng.uniform(0.9, 1.1, (3, members))
        title, allowed = "Lorenz, to t = 5", (5e-5, 1e-3)
        return Ensemble(name, title, _lorenz, initial, p, 5.0, 1.0, (20.0, 25.0, 40.0), allowed, False)
    raise KeyError(name)


def reference(case: Ensemble) -> np.ndarray:
    """The first members (32; of Robertson's system 8) at the end, (n, count), by scipy at a tolerance of 1e-12."""
    from scipy.integrate import solve_ivp

    stiff = case.name == "robertson"
    ends = []
    for b in range(min(8 if stiff else 32, case.members)):
        found = solve_ivp(
            lambda t, y, p=case.parameters[:, b]: case.rate(np, t, y, p),
            (0.0, case.end),
            case.initial[:, b],
            "Radau" if stiff else "DOP853",
            rtol=1e-12,
            atol=1e-12 * case.atol_share,
        )
        ends.append(found.y[:, -1])
    return np.stack(ends, axis=1)


def errors(case: Ensemble, final: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """The median and the largest error of the members that the reference has."""
    off = np.abs(final[:, : exact.shape[1]] - exact) / np.array(case.size)[:, None]
    return {"error_median": float(np.median(off.max(axis=0))), "error_max": float(off.max())}


def tolerance(case: Ensemble, exact: np.ndarray, final: Callable[[float], np.ndarray]) -> float:
    """The largest of 1e-4, 3.2e-5, 1e-5, ... with which ``final(rtol)`` has errors that are allowed.

    Raises `RuntimeError` where not even 1e-11 does.
    """
    for exponent in range(8, 23):
        rtol = 10 ** (-exponent / 2)
        found = errors(case, final(rtol), exact)
        if all(error <= most for error, most in zip(found.values(), case.allowed, strict=True)):
            return rtol
    raise RuntimeError(f"{case.name}: no tolerance down to 1e-11 gives errors of {case.allowed}.")
