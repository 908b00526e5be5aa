"""scikit-fem (BSD) with scipy's SuperLU, or with conjugate gradients preconditioned by pyamg.

The mesh, the element, the quadrature degree, the tolerance and the start are those of Gemel. The basis
functions at the quadrature points count as set-up ("plan"), which favours this peer's assembly.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import skfem
from skfem.helpers import ddot, dot, grad, sym_grad, trace

from benchmarks import exact
from benchmarks.cases import ERROR_DEGREE, STEP, STEPS, Case
from benchmarks.measure import Stages, Timing, peak_mib, timed
from benchmarks.peers import Task, amg
from benchmarks.peers.common import Row, reference

_HEXAHEDRON = [7, 3, 5, 6, 1, 2, 4, 0]
"""Vertices counted with x fastest, in the order of scikit-fem."""

_ELEMENTS = {
    ("hexahedron", "Q1"): skfem.ElementHex1,
    ("hexahedron", "Q2"): skfem.ElementHex2,
    ("tetrahedron", "P1"): skfem.ElementTetP1,
    ("tetrahedron", "P2"): skfem.ElementTetP2,
}


def _assemble(form: Any, basis: Any, **fields: Any) -> Any:
    return form.assemble(basis, **fields)


@skfem.BilinearForm
def _conduction(u: Any, v: Any, w: Any) -> Any:
    gradients: list[Any] = [grad(u), grad(v)]
    return exact.conductivity(np, w.x) * dot(*gradients)


@skfem.BilinearForm
def _cell_conduction(u: Any, v: Any, w: Any) -> Any:
    gradients: list[Any] = [grad(u), grad(v)]
    return w["k"] * dot(*gradients)


@skfem.BilinearForm
def _mass(u: Any, v: Any, w: Any) -> Any:
    return u * v


@skfem.LinearForm
def _source(v: Any, w: Any) -> Any:
    return exact.source(np, w.x) * v


@skfem.LinearForm
def _scalar_load(v: Any, w: Any) -> Any:
    return exact.scalar(np, w.x) * v


@skfem.BilinearForm
def _hooke(u: Any, v: Any, w: Any) -> Any:
    e, nu = exact.YOUNGS_MODULUS, exact.POISSON_RATIO
    strain, test = sym_grad(u), sym_grad(v)
    first = e * nu / ((1 + nu) * (1 - 2 * nu))
    return first * trace(strain) * trace(test) + e / (1 + nu) * ddot(strain, test)


@skfem.LinearForm
def _body_force(v: Any, w: Any) -> Any:
    return dot(exact.body_force(np, w.x), v)


@skfem.LinearForm
def _traction(v: Any, w: Any) -> Any:
    return np.einsum("ij...,j...,i...->...", exact.stress(np, w.x), w.n, np.asarray(v))


def load_mesh(cell: str, path: str) -> Any:
    """The mesh that Gemel made, from an ``npz`` file with ``points`` and ``cells``."""
    with np.load(path) as arrays:
        points, cells = arrays["points"], arrays["cells"]
    if cell == "tetrahedron":
        return skfem.MeshTet(np.ascontiguousarray(points.T), np.ascontiguousarray(cells.T))
    return skfem.MeshHex(np.ascontiguousarray(points.T), np.ascontiguousarray(cells[:, _HEXAHEDRON].T))


def run(task: Task) -> Row:
    """The row of one mesh."""
    case, repeat, vector = task.case, task.repeat, task.case.vector
    stages = Stages()
    with stages("mesh"):
        mesh = load_mesh(case.cell, task.mesh)
    if case.name == "transient":
        return _transient(case, mesh, stages, repeat)
    with stages("plan"):
        basis, facets = _bases(case, mesh, vector)
    assemble = (lambda: _elastic_system(basis, facets)) if vector else (lambda: _scalar_system(basis))
    (matrix, b, free), assembly = timed(assemble, repeat)
    solve = _direct if task.code == "scikit-fem-direct" else amg.solve
    modes = amg.rigid_body_modes(basis.doflocs.T)[free] if vector else None
    u_free, iterations, setup, solving = solve(matrix, b, modes, repeat)
    memory = peak_mib()
    u = basis.zeros()
    u[free] = u_free
    return {
        **{f"{name}_s": seconds for name, seconds in stages.seconds.items()},
        **_summary(basis.N, matrix.nnz, assembly, solving, iterations, memory),
        "preconditioner_s": setup,
        "error": _relative_error(basis, u, lambda x: reference(case)(np, x), ERROR_DEGREE[case.element]),
    }


def _summary(n: int, nonzeros: int, assembly: Timing, solving: Timing, iterations: Any, memory: Any) -> Row:
    return {
        "unknowns": int(n),
        "nonzeros": int(nonzeros),
        "compile_s": 0.0,
        "assemble_s": assembly.best,
        "assemble_median_s": assembly.median,
        "solve_s": solving.best,
        "solve_median_s": solving.median,
        "iterations": iterations,
        "peak_mib": memory,
    }


def _bases(case: Case, mesh: Any, vector: bool) -> tuple[Any, Any]:
    element = _ELEMENTS[case.cell, case.element]()
    degree = 2 * int(case.element[1])
    if not vector:
        return skfem.Basis(mesh, element, intorder=degree), None
    element = skfem.ElementVector(element)
    loaded = mesh.facets_satisfying(lambda x: x[0] > 1e-9, boundaries_only=True)
    return (
        skfem.Basis(mesh, element, intorder=degree),
        skfem.FacetBasis(mesh, element, intorder=degree, facets=loaded),
    )


def _scalar_system(basis: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    matrix, b = _assemble(_conduction, basis), _assemble(_source, basis)
    return _restrict(matrix, b, basis.complement_dofs(basis.get_dofs()))


def _elastic_system(basis: Any, facets: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    matrix = _assemble(_hooke, basis)
    b = _assemble(_body_force, basis) + _assemble(_traction, facets)
    return _restrict(matrix, b, basis.complement_dofs(basis.get_dofs(lambda x: x[0] < 1e-9)))


def _restrict(matrix: Any, b: np.ndarray, free: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    return scipy.sparse.csr_matrix(matrix)[free][:, free], b[free], free


def _direct(matrix: Any, b: np.ndarray, modes: Any, repeat: int) -> tuple[Any, None, float, Timing]:
    """SuperLU with a symmetric ordering: the factorisation is set-up, the substitutions are the solve."""
    stages = Stages()
    with stages("factor"):
        factors = _factor(matrix)
    u, timing = timed(lambda: factors.solve(b), repeat)
    return u, None, stages.seconds["factor"], timing


def _factor(matrix: Any) -> Any:
    return scipy.sparse.linalg.splu(
        scipy.sparse.csc_matrix(matrix),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )


def _relative_error(basis: Any, u: np.ndarray, reference: Any, degree: int) -> float:
    fine = skfem.Basis(basis.mesh, basis.elem, intorder=degree)
    weights, x = fine.dx, np.asarray(fine.global_coordinates())
    truth = reference(x)
    off = np.asarray(fine.interpolate(u)) - truth
    return float(np.sqrt(np.sum(weights * off**2) / np.sum(weights * truth**2)))


def _transient(case: Case, mesh: Any, stages: Stages, repeat: int) -> Row:
    """Alexander's SDIRK2 as in Gemel, with one factorisation for all stages; the source is separable."""
    with stages("plan"):
        basis, _ = _bases(case, mesh, vector=False)
    free = basis.complement_dofs(basis.get_dofs())
    middle = exact.conductivity(np, mesh.p[:, mesh.t].mean(axis=1))

    def assemble() -> tuple[Any, Any, np.ndarray, np.ndarray]:
        stiffness, b, _ = _restrict(
            _assemble(_cell_conduction, basis, k=middle[:, None]), _assemble(_source, basis), free
        )
        mass, own, _ = _restrict(_assemble(_mass, basis), _assemble(_scalar_load, basis), free)
        return stiffness, mass, b, own

    (stiffness, mass, b, own), assembly = timed(assemble, repeat)
    gamma = 1 - 1 / np.sqrt(2)
    with stages("preconditioner"):
        factors = _factor(mass + gamma * STEP * stiffness)

    def load(t: float) -> np.ndarray:
        return exact.swing_rate(np, t) * own + exact.swing(np, t) * b

    def march() -> np.ndarray:
        u = exact.scalar(np, basis.doflocs)[free]
        for step in range(STEPS):
            t = step * STEP
            first = factors.solve(load(t + gamma * STEP) - stiffness @ u)
            second = factors.solve(load(t + STEP) - stiffness @ (u + (1 - gamma) * STEP * first))
            u = u + STEP * ((1 - gamma) * first + gamma * second)
        return u

    u, marching = timed(march, repeat)
    truth = exact.transient_scalar(np, basis.doflocs, STEPS * STEP)[free]
    return {
        **{f"{name}_s": seconds for name, seconds in stages.seconds.items()},
        **_summary(basis.N, stiffness.nnz, assembly, marching, None, peak_mib()),
        "steps": STEPS,
        "forward_s": assembly.best + stages.seconds["preconditioner"] + marching.best,
        "error": float(np.linalg.norm(u - truth) / np.linalg.norm(truth)),
    }
