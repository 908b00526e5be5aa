"""torch-fem (MIT) on the CPU: element matrices in PyTorch, conjugate gradients in PyTorch with a hierarchy of pyamg.

``cg`` with ``amg`` is what it chooses itself beyond 10,000 unknowns. Its materials have one value for each cell, so its
Poisson problem has the conductivity of the cells' middles (the gradient case is the same for all). It takes loads as
nodal values, which are made beside it and not timed. The first solve with a matrix builds the hierarchy: what it takes
longer than a later solve that is given the hierarchy counts as the preconditioner's set-up.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import Any

import torch
from torchfem import Solid, SolidHeat
from torchfem.materials import (
    IsotropicConductivity3D,
    IsotropicElasticity3D,
)
from torchfem.sparse import sparse_solve

from benchmarks import exact
from benchmarks.cases import RTOL
from benchmarks.measure import Stages, Timing, timed
from benchmarks.peers import Task, loads
from benchmarks.peers.common import VTK, Cube, Row, directional, gradient_row, load, relative_error, require, steady_row

torch.set_default_dtype(torch.float64)

_CG = {"method": "cg", "preconditioner": "amg", "stol": RTOL}
_NEWTON = {"rtol": 1.1 * RTOL, "atol": 1e-14}


def conduction(cube: Cube) -> Any:
    """Heat conduction with zero temperature on the surface."""
    model = SolidHeat(torch.from_numpy(cube.points), torch.from_numpy(cube.cells[:, VTK].copy()), _material(cube))
    model.constraints[cube.boundary()] = True
    return model


def block(cube: Cube) -> Any:
    """The clamped block."""
    material = IsotropicElasticity3D(E=exact.YOUNGS_MODULUS, nu=exact.POISSON_RATIO)
    model = Solid(torch.from_numpy(cube.points), torch.from_numpy(cube.cells[:, VTK].copy()), material)
    model.constraints[cube.clamped()] = True
    return model


def _material(cube: Cube) -> Any:
    return IsotropicConductivity3D(kappa=torch.from_numpy(cube.centre_conductivities()), rho=1.0)


def run(task: Task) -> Row:
    """The row of one mesh."""
    stages = Stages()
    with stages("mesh"):
        cube = load(task.mesh)
    vector = task.case.vector
    with stages("plan"):
        model = block(cube) if vector else conduction(cube)
    if task.case.name == "gradient":
        return _gradient(task, cube, model, stages)
    constrained = torch.nonzero(model.constraints.ravel()).ravel()
    b = torch.from_numpy((loads.forces(cube) if vector else loads.source(cube)).ravel())
    b[constrained] = 0.0
    matrix, assembly = timed(lambda: model.assemble_matrix(model.k0(), constrained), task.repeat)
    modes = model.near_null_space()
    (_, hierarchy, _, _), first = timed(lambda: sparse_solve(matrix, b, modes, **_CG), 1)
    (u, _, _, iterations), solving = timed(lambda: sparse_solve(matrix, b, modes, M=hierarchy, **_CG), task.repeat)
    require(float(torch.linalg.norm(b - matrix @ u)), float(torch.linalg.norm(b)), task.code)
    stages.seconds["preconditioner"] = max(0.0, first.best - solving.best)
    row = steady_row(stages, len(b), _compiled_ahead(assembly), _compiled_ahead(solving), nonzeros=len(matrix.values()))
    return row | {"iterations": iterations, "error": relative_error(cube, u.numpy(), task.case)}


def _compiled_ahead(timing: Timing) -> Timing:
    """PyTorch compiles nothing here: a slower first call is no compilation."""
    return Timing(timing.best, timing.best, timing.median)


def _gradient(task: Task, cube: Cube, model: Any, stages: Stages) -> Row:
    """∫u² through the implicit rule of `solve`."""
    model.heat_flux = torch.from_numpy(loads.source(cube))[:, None]
    at = torch.from_numpy(cube.centre_conductivities())
    shape = torch.stack([torch.as_tensor(model.etype.N(xi)) for xi in model.etype.ipoints])
    weights = model.etype.iweights[:, None] * model.eval_shape_functions(model.etype.ipoints)[2]

    def functional(values: Any) -> tuple[Any, Any]:
        model.material = IsotropicConductivity3D(kappa=values, rho=1.0)
        u = model.solve(differentiable_parameters=values, **_CG, **_NEWTON)[0]
        there = torch.einsum("ia,ca->ic", shape, u.reshape(-1)[model.elements])
        return torch.sum(weights * there**2), u

    def backward() -> tuple[Any, Any]:
        values = at.clone().requires_grad_(True)
        functional(values)[0].backward()
        return values.grad, None

    (value, u), forward = timed(lambda: functional(at), task.repeat)
    (slope, _), gradient = timed(backward, task.repeat)
    row = gradient_row(stages, cube, _compiled_ahead(forward), _compiled_ahead(gradient), functional=float(value))
    row |= directional(lambda k: float(functional(torch.from_numpy(k))[0]), slope.numpy(), at.numpy())
    return row | {"error": relative_error(cube, u.detach().numpy(), task.case)}
