"""What the peers share: the mesh, the measure of the error, and the layout of a row. Needs numpy alone."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import exact
from benchmarks.cases import ERROR_DEGREE, RTOL, Case
from benchmarks.measure import Stages, Timing, peak_mib, timed

Row = dict[str, Any]

VTK = [0, 1, 3, 2, 4, 5, 7, 6]
"""Vertices counted with x fastest, in the order of VTK, Gmsh and Abaqus."""

FACES = {(axis, end): [a for a in range(8) if a >> axis & 1 == end] for axis in range(3) for end in (0, 1)}
"""Vertices of each face of a hexahedron, by the coordinate that is constant there and its value."""

_STEP = 1e-3
_ROUNDING = 1e-9


class Cube(NamedTuple):
    """The mesh that Gemel made: points ``(n, 3)`` and hexahedra ``(m, 8)``, vertices counted with x fastest."""

    points: np.ndarray
    cells: np.ndarray

    def boundary(self) -> np.ndarray:
        """The nodes on the surface of the unit cube."""
        return np.flatnonzero(np.any((self.points < _ROUNDING) | (self.points > 1 - _ROUNDING), axis=1))

    def clamped(self) -> np.ndarray:
        """The nodes on the side x = 0."""
        return np.flatnonzero(self.points[:, 0] < _ROUNDING)

    def centre_conductivities(self) -> np.ndarray:
        """The exact conductivity at the middle of each cell."""
        return exact.conductivity(np, self.points[self.cells].mean(axis=1).T)


def load(path: str) -> Cube:
    """Read the points and the cells from the ``npz`` file of a task."""
    with np.load(path) as arrays:
        return Cube(np.ascontiguousarray(arrays["points"], np.float64), np.ascontiguousarray(arrays["cells"], np.int64))


def reference(case: Case) -> Any:
    """The exact solution of a case, of coordinates ``(3, ...)``."""
    return exact.displacement if case.vector else exact.scalar


def relative_error(cube: Cube, u: np.ndarray, case: Case) -> float:
    r"""$\|u_h-u\|/\|u\|$ in L2 for values at the nodes, ``(n,)`` or ``(n, 3)``, with one rule for all codes."""
    order = (ERROR_DEGREE[case.element] + 2) // 2
    u = np.asarray(u, np.float64).reshape(len(cube.points), -1)
    off = size = 0.0
    for shape, slope, weight in rule(order):
        corners = cube.points[cube.cells]
        volume = weight * np.abs(np.linalg.det(np.einsum("aj,cai->cij", slope, corners)))
        truth = np.atleast_2d(reference(case)(np, np.einsum("a,cai->ic", shape, corners)))
        there = np.einsum("a,cai->ic", shape, u[cube.cells])
        off += float(np.sum(volume * (there - truth) ** 2))
        size += float(np.sum(volume * truth**2))
    return float(np.sqrt(off / size))


def rule(order: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Shape functions, their slopes and the weight at each Gauss point of the unit cube, x fastest."""
    x, w = np.polynomial.legendre.leggauss(order)
    x, w = (x + 1) / 2, w / 2
    rule = []
    for k in range(order):
        for j in range(order):
            for i in range(order):
                lines = [(np.array([1 - t, t]), np.array([-1.0, 1.0])) for t in (x[i], x[j], x[k])]
                (a, da), (b, db), (c, dc) = lines
                products = [(c, b, a), (c, b, da), (c, db, a), (dc, b, a)]
                shape, *slope = (np.einsum("k,j,i->kji", *factors).ravel() for factors in products)
                rule.append((shape, np.stack(slope, axis=1), float(w[i] * w[j] * w[k])))
    return rule


def directional(functional: Any, gradient: np.ndarray, at: np.ndarray) -> Row:
    """The gradient along a random direction, and its relative difference from central differences."""
    direction = np.random.default_rng(0).uniform(-1, 1, at.shape)
    slope = (functional(at + _STEP * direction) - functional(at - _STEP * direction)) / (2 * _STEP)
    along = float(np.asarray(gradient) @ direction)
    return {"slope": along, "gradient_error": float(abs(along - slope) / abs(slope))}


def require(residual: float, size: float, code: str) -> None:
    """Refuse a solution whose residual is above twice the tolerance: a wrong answer gets no time."""
    if not residual <= 2 * RTOL * size:
        raise RuntimeError(f"The solve of {code} missed its tolerance: {residual / size:.1e}.")


def built(build: Callable[[], Any], stages: Stages, stage: str = "plan") -> Any:
    """The result of a step on the host that also compiles: done twice, and the second time is the stage.

    What the first time took longer is compilation.
    """
    result, timing = timed(build, 1)
    stages.seconds[stage] = timing.best
    stages.seconds["compile"] = stages.seconds.get("compile", 0.0) + timing.compile
    return result


def steady_row(stages: Stages, unknowns: int, assembly: Timing, solving: Timing, **more: Any) -> Row:
    """The row of a boundary-value problem; call it before the error is measured, for the memory's sake."""
    return {
        **{f"{name}_s": seconds for name, seconds in stages.seconds.items()},
        "unknowns": int(unknowns),
        "compile_s": stages.seconds.get("compile", 0.0) + assembly.compile + solving.compile,
        "assemble_s": assembly.best,
        "assemble_median_s": assembly.median,
        "solve_s": solving.best,
        "solve_median_s": solving.median,
        "peak_mib": peak_mib(),
        **more,
    }


def gradient_row(stages: Stages, cube: Cube, forward: Timing, gradient: Timing, **more: Any) -> Row:
    """The row of a gradient; each call assembles, solves and integrates."""
    return {
        **{f"{name}_s": seconds for name, seconds in stages.seconds.items()},
        "unknowns": len(cube.points),
        "parameters": len(cube.cells),
        "forward_s": forward.best,
        "forward_median_s": forward.median,
        "gradient_s": gradient.best,
        "gradient_median_s": gradient.median,
        "gradient_ratio": gradient.best / forward.best,
        "compile_s": stages.seconds.get("compile", 0.0) + forward.compile + gradient.compile,
        "peak_mib": peak_mib(),
        **more,
    }
