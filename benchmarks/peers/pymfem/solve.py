"""PyMFEM (BSD): MFEM's C++ from Python, one thread, conjugate gradients with Gauss-Seidel.

The wheel is MFEM's serial build, which has no algebraic multigrid: `GSSmoother` inside `CGSolver` is what its first
example uses there, and its iterations grow with the mesh. The conductivity is a numba coefficient, as its documentation
recommends; the rule has two points along each direction like the other codes'. Loads are nodal values made beside it
and not timed, and so is writing the mesh in MFEM's format.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

import tempfile
from pathlib import Path
from typing import Any

import mfem.ser as mfem
import numpy as np

from benchmarks import exact
from benchmarks.cases import RTOL
from benchmarks.measure import Stages, timed
from benchmarks.peers import Task, loads
from benchmarks.peers.common import VTK, Cube, Row, load, relative_error, require, steady_row

_HEXAHEDRON = 5


def read(cube: Cube, stages: Stages) -> Any:
    """The mesh through MFEM's own format; only reading counts."""
    head = np.tile([1, _HEXAHEDRON], (len(cube.cells), 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mesh"
        with path.open("w") as file:
            file.write(f"MFEM mesh v1.0\n\ndimension\n3\n\nelements\n{len(cube.cells)}\n")
            np.savetxt(file, np.hstack([head, cube.cells[:, VTK]]), fmt="%d")
            file.write(f"\nboundary\n0\n\nvertices\n{len(cube.points)}\n3\n")
            np.savetxt(file, cube.points, fmt="%.17g")
        with stages("mesh"):
            return mfem.Mesh(str(path), 1, 0)


def coefficients(vector: bool) -> tuple[Any, ...]:
    """Lamé's constants, or the conductivity, which numba compiles."""
    if not vector:
        return (mfem.jit.scalar(lambda x: 1 + x[0] + x[1] * x[2], sdim=3),)
    e, nu = exact.YOUNGS_MODULUS, exact.POISSON_RATIO
    first, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
    return mfem.ConstantCoefficient(first), mfem.ConstantCoefficient(mu)


def run(task: Task) -> Row:
    """The row of one mesh."""
    vector, stages = task.case.vector, Stages()
    cube = load(task.mesh)
    mesh = read(cube, stages)
    size = 3 if vector else 1
    nodes = cube.clamped() if vector else cube.boundary()
    with stages("plan"):
        collection = mfem.H1_FECollection(1, 3)
        space = mfem.FiniteElementSpace(mesh, collection, size, mfem.Ordering.byVDIM)
        fixed = mfem.intArray((nodes[:, None] * size + np.arange(size)).ravel().tolist())
    with stages("compile"):
        numbers = coefficients(vector)
    values = (loads.forces(cube) if vector else loads.source(cube)).ravel()

    def assemble() -> tuple[Any, ...]:
        form = mfem.BilinearForm(space)
        own = (mfem.ElasticityIntegrator if vector else mfem.DiffusionIntegrator)(*numbers)
        own.SetIntRule(mfem.IntRules.Get(mfem.Geometry.CUBE, 3))
        form.AddDomainIntegrator(own)
        form.Assemble()
        right, left = mfem.Vector(values.copy()), mfem.Vector(np.zeros(len(values)))
        matrix, b, u = mfem.OperatorPtr(), mfem.Vector(), mfem.Vector()
        form.FormLinearSystem(fixed, left, right, matrix, u, b)
        return mfem.OperatorHandle2SparseMatrix(matrix), b, u, (form, right, left, matrix)

    (matrix, b, u, _kept), assembly = timed(assemble, task.repeat)
    with stages("preconditioner"):
        smoother = mfem.GSSmoother(matrix)
    solver = mfem.CGSolver()
    solver.SetRelTol(RTOL / 2)
    solver.SetMaxIter(5000)
    solver.SetPreconditioner(smoother)
    solver.SetOperator(matrix)

    def solve() -> None:
        u.Assign(0.0)
        solver.Mult(b, u)

    _, solving = timed(solve, task.repeat)
    residual = mfem.Vector(len(values))
    matrix.Mult(u, residual)
    size_b = np.linalg.norm(b.GetDataArray())
    require(float(np.linalg.norm(b.GetDataArray() - residual.GetDataArray())), float(size_b), task.code)
    row = steady_row(stages, len(values), assembly, solving, nonzeros=matrix.NumNonZeroElems())
    return row | {
        "iterations": solver.GetNumIterations(),
        "error": relative_error(cube, u.GetDataArray().copy(), task.case),
    }
