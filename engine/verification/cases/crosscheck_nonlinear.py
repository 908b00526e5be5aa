"""Large deformations and plasticity on the same ten-node tetrahedra, solved by CalculiX."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from gemel.engine import (
    Dirichlet,
    DiscreteProblem,
    FunctionSpace,
    Hyperelasticity,
    Input,
    J2Plasticity,
    MooneyRivlin,
    Pressure,
    Quasistatic,
    Series,
    Solid,
    Term,
    checked_path,
    follow,
)
from gemel.engine.history import HistoryTerm, history_of
from gemel.engine.physics.hyperelasticity import FiniteStrain
from gemel.engine.physics.kinematics import SOLID
from gemel.engine.physics.smallstrain import SmallStrain
from gemel.engine.problems import Integral
from gemel.engine.verification import calculix
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.cases.crosscheck import CALCULIX, GROUP, bent_bar
from gemel.meshes import read_mesh
from gemel.solvers import SparseDirect

_FOUR_POINTS = 2
"""The degree of the rule of four points, which CalculiX uses for C3D10."""

_DIRECT = SparseDirect(1e-7)
_PRINT = "*NODE PRINT, NSET=NALL, FREQUENCY=99\nU"


def _root(x: np.ndarray) -> np.ndarray:
    return x[:, 0] < 1e-9


def _tip(x: np.ndarray) -> np.ndarray:
    return x[:, 0] > 4 - 1e-9


def _top(x: np.ndarray) -> np.ndarray:
    return x[:, 2] > (1 - 0.1 * x[:, 0]) - 1e-9


def _controls(tolerance: float) -> str:
    """The lines of four equal increments, solved to a residual of ``tolerance`` of the mean force."""
    return f"*STATIC, DIRECT\n0.25, 1.\n*CONTROLS, PARAMETERS=FIELD\n{tolerance:g}, {tolerance:g}, , , 1e-9"


@case(
    "calculix-neo-hookean",
    group=GROUP,
    title="A rubber bar under large deformations beside CalculiX",
    equations=r"$$ \psi = C_{10}\,(\bar I_1 - 3) + \frac{1}{D_1}(J - 1)^2 $$",
    setup="The bar of calculix-static, 6 × 2 × 2 lattice cells of C3D10, C₁₀ = 0.5 MPa, D₁ = 1 /MPa (K = 2 MPa), held "
    "at one end; the other is moved by (0.6, 0.8, 0.2) m, 15 % of the length along the axis and 20 % across, in four "
    "steps. Energies are the same: `MooneyRivlin` with c₀₁ = 0 and K = 2/D₁. Four points in each cell, as CalculiX "
    "has them.",
    source=CALCULIX,
    needs=("CalculiX",),
)
def calculix_neo_hookean() -> Sequence[Check]:
    c10, bulk, moved = 0.5, 2.0, dict(zip("xyz", (0.6, 0.8, 0.2), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        deck = calculix.Deck(Path(folder), bent_bar((6, 2, 2)))
        text = [
            deck.node_set("HELD", _root),
            deck.node_set("TIP", _tip),
            f"*MATERIAL, NAME=M\n*HYPERELASTIC, NEO HOOKE\n{c10:.12e}, {2 / bulk:.12e}",
            f"*SOLID SECTION, ELSET=EALL, MATERIAL=M\n*STEP, NLGEOM\n{_controls(1e-9)}\n*BOUNDARY\nHELD, 1, 3",
            *(f"TIP, {i}, {i}, {value:g}" for i, value in enumerate(moved.values(), start=1)),
            f"{_PRINT}\n*NODE PRINT, NSET=TIP, TOTALS=ONLY, FREQUENCY=99\nRF\n*END STEP",
        ]
        dat = deck.run("\n".join(text))
        mesh = read_mesh(deck.mesh_file).tag_facets("held", _root).tag_facets("tip", _tip)
    theirs, force = calculix.displacements(dat), calculix.tables(dat, "total force (fx,fy,fz)", 3)[-1][0]
    space = FunctionSpace(mesh, "P2", (3,))
    material = MooneyRivlin(c10, 0.0, bulk)
    conditions = [Dirichlet("held"), *(Dirichlet("tip", Input(n), component=i) for i, n in enumerate("xyz"))]
    term = Term(FiniteStrain(material=material, kinematics=SOLID), degree=_FOUR_POINTS)
    problem = DiscreteProblem.of(space, [term], conditions)
    body = eqx.tree_at(lambda some: some.problem, Hyperelasticity(space, material, conditions=conditions), problem)
    times = np.linspace(0.0, 1.0, 5)
    signals = {name: Series(times, value * times, hold=False) for name, value in moved.items()}
    end = jnp.asarray(_tip(np.asarray(space.nodes())))
    record = lambda step, u: (u, jnp.sum(step.unconstrained(u).reshape(-1, 3) * end[:, None], axis=0))  # noqa: E731
    path = checked_path(follow(Quasistatic(body, linear_solver=_DIRECT), times, signals, record))
    u, found = np.asarray(path.records[0][-1]).reshape(-1, 3), path.records[1][-1]
    where = KDTree(deck.points).query(np.asarray(space.nodes()))[1]
    off = np.max(np.abs(u - theirs[where])) / np.max(np.abs(theirs))
    return [
        absolute("largest difference at a node over the largest displacement", 0.0, off, 1e-6),
        *(relative(f"force of the end along {n}", force[i], found[i], 2e-6, "MN") for i, n in enumerate("xyz")),
    ]


class _Bending:
    """The bar under a pressure on its top that grows, falls and grows the other way: CalculiX beside Gemel.

    Args:
        strength: the yield stress in Pa.
        pressure: at its largest in Pa.
        plastic: the parameters of ``*PLASTIC``.
        step: those of ``*STEP``.
        tolerance: of the residual in CalculiX.
    """

    young, nu, hardening = 200e9, 0.3, 10e9

    def __init__(self, strength: float, pressure: float, plastic: str, step: str, tolerance: float) -> None:
        self.strength, self.pressure = strength, pressure
        with tempfile.TemporaryDirectory() as folder:
            deck = calculix.Deck(Path(folder), bent_bar((6, 2, 2)))
            printed = f"{_PRINT}\n*EL PRINT, ELSET=EALL, FREQUENCY=99\nPEEQ\n*EL PRINT, ELSET=EALL, FREQUENCY=99\nCOORD"
            steps = [
                f"*STEP{step}\n{_controls(tolerance)}\n*DLOAD, OP=NEW\n{deck.pressure(_top, p)}\n{printed}\n*END STEP"
                for p in (pressure, 0.0, -pressure)
            ]
            text = [
                deck.node_set("HELD", _root),
                f"*MATERIAL, NAME=M\n*ELASTIC\n{self.young:.12e}, {self.nu:.12e}\n*PLASTIC{plastic}",
                f"{strength:.12e}, 0.\n{strength + self.hardening:.12e}, 1.",
                "*SOLID SECTION, ELSET=EALL, MATERIAL=M\n*BOUNDARY\nHELD, 1, 3",
                *steps,
            ]
            dat = deck.run("\n".join(text))
            self.mesh = read_mesh(deck.mesh_file).tag_facets("held", _root).tag_facets("top", _top)
        self.nodes = deck.points
        self.displacements = [table[:, 1:] for table in calculix.tables(dat, "displacements (vx,vy,vz)", 4)]
        self.strains = [table[:, 2] for table in calculix.tables(dat, "equivalent plastic strain", 3)]
        self.points = calculix.tables(dat, "global coordinates", 5)[0][:, 2:]

    def checks(self, isotropic: float, kinematic: float, tolerance: float) -> list[Check]:
        """Displacements and accumulated plastic strains after each of the three steps."""
        space = FunctionSpace(self.mesh, "P2", (3,))
        numbers = (self.young, self.nu, self.strength, isotropic, 0.0, 0.0, kinematic)
        material = J2Plasticity(*map(jnp.asarray, numbers))
        conditions = [Dirichlet("held"), Pressure("top", Input("pressure"))]
        term = HistoryTerm(SmallStrain(material=material, kinematics=SOLID), degree=_FOUR_POINTS)
        problem = DiscreteProblem.of(space, [term, conditions[1]], conditions[:1])
        body = eqx.tree_at(lambda some: some.problem, Solid(space, material, conditions=conditions), problem)
        signal = Series(np.arange(4.0), self.pressure * np.array([0.0, 1.0, 0.0, -1.0]), hold=False)
        analysis = Quasistatic(body, linear_solver=_DIRECT)
        path = checked_path(follow(analysis, np.linspace(0.0, 3.0, 13), {"pressure": signal}, _field_and_strain))
        node = KDTree(self.nodes).query(np.asarray(space.nodes()))[1]
        point = KDTree(self.points).query(_places(path.problem, path.state))[1]
        checks = []
        for k, state in enumerate(("loaded", "unloaded", "reversed")):
            u, p = (np.asarray(record[4 * (k + 1)]) for record in path.records)
            theirs, strain = self.displacements[k][node], self.strains[k][point]
            off, away = np.max(np.abs(u.reshape(-1, 3) - theirs)), np.max(np.abs(p.ravel() - strain))
            size = np.max(np.abs(theirs))
            checks += [
                absolute(
                    f"{state}: largest difference at a node over the largest displacement", 0.0, off / size, tolerance
                ),
                relative(f"{state}: largest accumulated plastic strain", strain.max(), p.max(), tolerance),
                absolute(
                    f"{state}: largest difference of it at a point over the largest",
                    0.0,
                    away / strain.max(),
                    tolerance,
                ),
            ]
        return checks


def _field_and_strain(problem: DiscreteProblem, u: Any) -> Any:
    """What is kept of each step: displacements and accumulated plastic strains."""
    return u, history_of(problem)[0].values[0].accumulated


def _places(problem: DiscreteProblem, u: Any) -> np.ndarray:
    """The integration points of the internal forces, ``(n, 3)``."""
    inner = problem.contributions[0]
    assert isinstance(inner, Integral)
    field = inner.evaluate(lambda form, jet, point: point.x, u, jnp.asarray(problem.space.mesh.points))
    return np.asarray(field.values[0]).reshape(-1, 3)


@case(
    "calculix-j2",
    group=GROUP,
    title="Plasticity with isotropic hardening beside CalculiX",
    equations=r"$$ \sqrt{\tfrac32}\,\|s\| \le \sigma_0 + H p $$",
    setup="The bar of calculix-static, 6 × 2 × 2 lattice cells of C3D10, E = 200 GPa, ν = 0.3, σ₀ = 250 MPa, H = 10 "
    "GPa, held at one end; a pressure on the top that grows to 12 MPa, falls to none and grows to 12 MPa upwards, four "
    "steps each; small strains in both programs, and four points in each cell. Every node and every integration "
    "point is compared.",
    source=CALCULIX,
    needs=("CalculiX",),
)
def calculix_j2() -> Sequence[Check]:
    return _Bending(250e6, 12e6, "", "", 1e-9).checks(_Bending.hardening, 0.0, 2e-6)


@case(
    "calculix-j2-kinematic",
    group=GROUP,
    title="Plasticity with kinematic hardening beside CalculiX",
    equations=r"$$ \sqrt{\tfrac32}\,\|s - \beta\| \le \sigma_0, \qquad \beta = \tfrac23 C\,\varepsilon^p $$",
    setup="As calculix-j2, with C = 10 GPa, σ₀ = 2.5 MPa and 0.12 MPa: CalculiX follows large strains here, which "
    "differ from small ones by the size of the strain, and strains of 1e-5 make the difference 5e-5. Version 2.20 "
    "without NLGEOM moves the back stress against the flow from the second increment on.",
    source=CALCULIX,
    needs=("CalculiX",),
)
def calculix_j2_kinematic() -> Sequence[Check]:
    return _Bending(2.5e6, 0.12e6, ", HARDENING=KINEMATIC", ", NLGEOM", 1e-6).checks(0.0, _Bending.hardening, 1e-4)


CASES = (calculix_neo_hookean, calculix_j2, calculix_j2_kinematic)
"""Part of the chapter."""
