"""What the peers share agrees with Gemel, and each peer that is installed agrees with the others."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from benchmarks import environments, exact, runner
from benchmarks.cases import CASES
from benchmarks.measure import Stages
from benchmarks.odes import ensemble
from benchmarks.ours import common as ours, elasticity, poisson
from benchmarks.peers import PEERS, loads
from benchmarks.peers.common import Cube, relative_error

N = 3


def cube(name: str) -> Cube:
    mesh = ours.cube(CASES[name], N)
    return Cube(np.asarray(mesh.points), np.asarray(mesh.cells))


@pytest.mark.parametrize("name", ["poisson-hex", "poisson-shuffled", "elasticity-box"])
@pytest.mark.fast("poisson-shuffled")
def test_the_nodal_loads_are_the_right_hand_side_of_gemel(name):
    case = CASES[name]
    if case.vector:
        problem, nodal = elasticity.block(case, N, Stages()).problem, loads.forces(cube(name))
        free = np.setdiff1d(np.arange(len(nodal)), cube(name).clamped())
    else:
        problem, nodal = poisson.conduction(case, N, Stages()).problem, loads.source(cube(name))[:, None]
        free = np.setdiff1d(np.arange(len(nodal)), cube(name).boundary())
    assert isinstance(problem.space, gm.FunctionSpace)
    residual = -problem.residual(jnp.zeros(problem.space.n_dofs))
    order = gm.renumber(ours.cube(case, N)).points  # Gemel solves on the nodes in this order
    theirs = np.empty_like(nodal)
    theirs[order] = np.asarray(problem.space.unflatten(residual)).reshape(nodal.shape)
    np.testing.assert_allclose(nodal[free], theirs[free], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", ["poisson-shuffled", "elasticity-box"])
def test_the_error_is_that_of_gemel(name):
    case = CASES[name]
    space = gm.FunctionSpace(ours.cube(case, N), "Q1", (3,) if case.vector else ())
    nodal = np.random.default_rng(0).normal(size=(len(cube(name).points), 3 if case.vector else 1))
    reference = exact.displacement if case.vector else exact.scalar
    flat = jnp.asarray(nodal.ravel())
    theirs = ours.relative_error(space, flat, lambda x: reference(jnp, x))
    assert relative_error(cube(name), nodal, case) == pytest.approx(theirs, rel=1e-12)


@functools.cache
def gemel_row(name: str, n: int) -> dict[str, Any]:
    return runner.measure(runner.Job(CASES[name], n, "gemel", "cpu"), 1, 300.0)


@pytest.mark.slow
@pytest.mark.parametrize("code", PEERS)
def test_a_peer_finds_the_solution(code):
    peer = PEERS[code]
    if not environments.installed(peer):
        pytest.skip(f"{code} is not installed: {environments.command(peer)}")
    for name in peer.cases:
        n = 2 if "Q2" in CASES[name].element or "P2" in CASES[name].element else 4
        row, own = runner.measure(runner.Job(CASES[name], n, code, "cpu"), 1, 300.0), gemel_row(name, n)
        assert "failed" not in row, row
        if CASES[name].module == "ensembles":
            allowed = ensemble(name, n).allowed
            assert all(r["error_median"] <= allowed[0] and r["error_max"] <= allowed[1] for r in (row, own))
            assert row.get("slope", 0.0) == pytest.approx(own.get("slope", 0.0), rel=1e-3)
            continue
        assert row["error"] == pytest.approx(own["error"], rel=5e-3), name
        if "slope" in row:
            assert row["slope"] == pytest.approx(own["slope"], rel=1e-6)
            assert row["functional"] == pytest.approx(own["functional"], rel=1e-7)
