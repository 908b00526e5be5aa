"""FEniCSx (LGPL-3.0): DOLFINx with compiled forms and PETSc's conjugate gradients, in one process or in two.

Poisson has BoomerAMG of hypre, elasticity has GAMG with the rigid-body modes, both with the options of DOLFINx's own
performance tests. The forms are compiled into an empty cache, which is the compilation of the row. In two processes
the times are the slowest one's, the memory is the sum.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

import tempfile
from typing import Any

import dolfinx
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc
from mpi4py import MPI
from petsc4py import PETSc

from benchmarks import exact
from benchmarks.cases import ERROR_DEGREE, RTOL
from benchmarks.measure import Stages, timed
from benchmarks.peers import BOOMERAMG, Task
from benchmarks.peers.common import Cube, Row, load, reference, relative_error, require, steady_row

_WORLD = MPI.COMM_WORLD
_GAMG = {
    "pc_type": "gamg",
    "pc_gamg_coarse_eq_limit": 1000,
    "mg_levels_ksp_type": "chebyshev",
    "mg_levels_pc_type": "jacobi",
    "mg_levels_esteig_ksp_type": "cg",
}
_CG = {"ksp_type": "cg", "ksp_rtol": RTOL, "ksp_norm_type": "unpreconditioned", "ksp_max_it": 500}


class Symbols:
    """What `exact` needs of an array library, in UFL."""

    exp = staticmethod(ufl.exp)
    stack = staticmethod(ufl.as_tensor)


def domain(cube: Cube) -> Any:
    """The mesh: the first process has all cells, the partitioner hands them out."""
    name, corners = ("hexahedron", 8) if cube.cells.shape[1] == 8 else ("tetrahedron", 4)
    shape = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.Cell(name, geometric_dimension=3), 1))
    first = _WORLD.rank == 0
    cells = cube.cells if first else np.zeros((0, corners), np.int64)
    points = cube.points if first else np.zeros((0, 3))
    return dolfinx.mesh.create_mesh(_WORLD, cells, points, shape)


def forms(space: Any, vector: bool, degree: int) -> tuple[Any, Any]:
    """The bilinear and the linear form, both with a rule of twice the degree of the element."""
    u, v, x = ufl.TrialFunction(space), ufl.TestFunction(space), ufl.SpatialCoordinate(space.mesh)
    rule = {"quadrature_degree": 2 * degree}
    dx = ufl.Measure("dx", space.mesh, metadata=rule)
    if not vector:
        a = exact.conductivity(Symbols, x) * ufl.inner(ufl.grad(u), ufl.grad(v)) * dx
        return a, exact.source(Symbols, x) * v * dx
    e, nu = exact.YOUNGS_MODULUS, exact.POISSON_RATIO
    first, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
    strain, test = ufl.sym(ufl.grad(u)), ufl.sym(ufl.grad(v))
    a = (first * ufl.tr(strain) * ufl.tr(test) + 2 * mu * ufl.inner(strain, test)) * dx
    ds = ufl.Measure("ds", space.mesh, metadata=rule)
    traction = ufl.dot(exact.stress(Symbols, x), ufl.FacetNormal(space.mesh))
    return a, ufl.inner(exact.body_force(Symbols, x), v) * dx + ufl.inner(traction, v) * ds


def boundary(space: Any, vector: bool) -> Any:
    """Zero on the whole surface, or on the side x = 0."""
    facets = (
        dolfinx.mesh.locate_entities_boundary(space.mesh, 2, lambda x: np.isclose(x[0], 0.0, atol=1e-9))
        if vector
        else dolfinx.mesh.exterior_facet_indices(space.mesh.topology)
    )
    dofs = fem.locate_dofs_topological(space, 2, facets)
    value = np.zeros(3) if vector else PETSc.ScalarType(0)
    return fem.dirichletbc(value, dofs, space)


def run(task: Task) -> Row | None:
    """The row of one mesh, in the first process."""
    vector, stages, degree = task.case.vector, Stages(), int(task.case.element[1])
    cube = load(task.mesh)
    with stages("mesh"):
        mesh = domain(cube)
    with stages("plan"):
        mesh.topology.create_connectivity(2, 3)
        space = (fem.VectorFunctionSpace if vector else fem.FunctionSpace)(mesh, ("Lagrange", degree))
        clamp = boundary(space, vector)
    with stages("compile"), tempfile.TemporaryDirectory() as cache:
        folder = _WORLD.bcast(cache)
        a, load_form = (fem.form(form, jit_params={"cache_dir": folder}) for form in forms(space, vector, degree))
        _WORLD.Barrier()  # the first process removes the folder
    (matrix, b), assembly = timed(lambda: _system(a, load_form, clamp), task.repeat)
    if vector:
        matrix.setNearNullSpace(_rigid_body_modes(space))
    solver = _solver(matrix, _GAMG if vector else BOOMERAMG)
    with stages("preconditioner"):
        solver.setUp()
    u = matrix.createVecRight()

    def solve() -> Any:
        u.set(0.0)
        solver.solve(b, u)

    _, solving = timed(solve, task.repeat)
    require((b - matrix * u).norm(), b.norm(), task.code)
    row = steady_row(stages, space.dofmap.index_map.size_global * space.dofmap.index_map_bs, assembly, solving)
    row |= {"iterations": solver.getIterationNumber(), "processes": _WORLD.size}
    row["nonzeros"] = int(matrix.getInfo(PETSc.Mat.InfoType.GLOBAL_SUM)["nz_used"])
    field = fem.Function(space)
    field.vector.array[:] = u.array
    field.x.scatter_forward()
    nodal = task.case.element == "Q1"  # of others the rule of all codes knows nothing
    return _gathered(row, field, cube, task) if nodal else _slowest(row | {"error": _error(field, task)})


def _system(a: Any, load_form: Any, clamp: Any) -> tuple[Any, Any]:
    matrix = petsc.assemble_matrix(a, bcs=[clamp])
    matrix.assemble()
    b = petsc.assemble_vector(load_form)
    petsc.apply_lifting(b, [a], [[clamp]])
    b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
    petsc.set_bc(b, [clamp])
    return matrix, b


def _solver(matrix: Any, preconditioner: dict[str, Any]) -> Any:
    for name, value in (_CG | preconditioner).items():
        PETSc.Options().setValue(name, value)
    solver = PETSc.KSP().create(_WORLD)
    solver.setOperators(matrix)
    solver.setFromOptions()
    return solver


def _rigid_body_modes(space: Any) -> Any:
    """Six orthonormal vectors: translations and rotations about the middle."""
    x = space.tabulate_dof_coordinates() - 0.5
    owned = space.dofmap.index_map.size_local
    fields = [np.tile(np.eye(3)[i], (owned, 1)) for i in range(3)]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        turn = np.zeros((owned, 3))
        turn[:, i], turn[:, j] = -x[:owned, j], x[:owned, i]
        fields.append(turn)
    basis: list[Any] = []
    for field in fields:
        vector = PETSc.Vec().createWithArray(np.ascontiguousarray(field.ravel()), comm=_WORLD)
        for other in basis:
            vector.axpy(-vector.dot(other), other)
        vector.normalize()
        basis.append(vector)
    return PETSc.NullSpace().create(vectors=basis, comm=_WORLD)


def _slowest(row: Row) -> Row | None:
    """The row with the slowest times and the sum of the memory, in the first process."""
    rows = _WORLD.gather(row)
    if rows is None:
        return None
    for name in (name for name in row if name.endswith("_s")):
        row[name] = max(other[name] for other in rows)
    return row | {"peak_mib": sum(other["peak_mib"] for other in rows)}


def _gathered(row: Row, field: Any, cube: Cube, task: Task) -> Row | None:
    """The `_slowest` row with the error of the values at the mesh's nodes, by the rule of all codes."""
    space, geometry = field.function_space, field.function_space.mesh.geometry
    size, owned = space.dofmap.index_map_bs, space.mesh.topology.index_map(3).size_local
    values = np.zeros((len(geometry.x), size))
    for cell in range(owned):
        values[geometry.dofmap.links(cell)] = field.x.array.reshape(-1, size)[space.dofmap.cell_dofs(cell)]
    touched = np.unique(np.concatenate([geometry.dofmap.links(cell) for cell in range(owned)]))
    parts = _WORLD.gather((np.asarray(geometry.input_global_indices)[touched], values[touched]))
    slowest = _slowest(row)
    if parts is None or slowest is None:
        return None
    whole = np.zeros((len(cube.points), size))
    for places, there in parts:
        whole[places] = there
    return slowest | {"error": relative_error(cube, whole, task.case)}


def _error(field: Any, task: Task) -> float:
    """The relative error in L2, by a rule of DOLFINx."""
    mesh = field.function_space.mesh
    dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": ERROR_DEGREE[task.case.element]})
    truth = reference(task.case)(Symbols, ufl.SpatialCoordinate(mesh))
    parts = [fem.assemble_scalar(fem.form(ufl.inner(each, each) * dx)) for each in (field - truth, truth)]
    off, size = (_WORLD.allreduce(part) for part in parts)
    return float(np.sqrt(off / size))
