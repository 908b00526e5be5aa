"""The same problem on the same mesh file, solved by another program."""

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from scipy.spatial import KDTree

from gemel.engine import (
    BodyForce,
    Dirichlet,
    DiscreteProblem,
    Elasticity,
    FunctionSpace,
    Heat,
    HeatSource,
    Modal,
    Pressure,
    Profile,
    Term,
    Traction,
    modes,
)
from gemel.engine.physics.integrands import Reaction
from gemel.engine.verification import calculix
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import mapped, solved, total
from gemel.meshes import Mesh, box, read_mesh, rectangle, write_mesh

GROUP = "crosscheck"
SKFEM = "scikit-fem (Gustafsson, McBain, JOSS 2020), run beside"
CALCULIX = "CalculiX (Dhondt, Wittig), run beside"


def bent_bar(n: tuple[int, int, int]) -> Mesh:
    """A tapered and bent bar of tetrahedra with straight edges, 4 long."""

    def bend(x: np.ndarray) -> np.ndarray:
        narrow = 1 - 0.1 * x[:, 0]
        return np.stack([x[:, 0], narrow * x[:, 1] + 0.05 * x[:, 0] ** 2, narrow * x[:, 2]], axis=1)

    return mapped(box(*n, size=(4.0, 1.0, 1.0), cell="tetrahedron"), bend)


def skfem_modules() -> tuple[Any, Any]:
    """scikit-fem and its helpers, which need not be installed."""
    return importlib.import_module("skfem"), importlib.import_module("skfem.helpers")


def files_of(mesh: Mesh, folder: str) -> tuple[Mesh, Any]:
    """A mesh through one file into both programs."""
    skfem, _ = skfem_modules()

    path = Path(folder) / "mesh.vtu"
    write_mesh(path, mesh)
    return read_mesh(path), skfem.Mesh.load(str(path))


@case(
    "skfem-poisson",
    group=GROUP,
    title="Diffusion on tetrahedra beside scikit-fem",
    equations=r"$$ -\nabla\cdot\big((1 + x + yz)\nabla u\big) = 1 + xy $$",
    setup="A tapered and bent bar of 8 × 3 × 3 lattice cells of tetrahedra P2 in one VTU file, u = 0 at its ends; "
    "rules of degree 4 and more, which are exact here.",
    source=SKFEM,
    needs=("scikit-fem",),
)
def skfem_poisson() -> Sequence[Check]:
    skfem, helpers = skfem_modules()
    dot, grad = helpers.dot, helpers.grad

    with tempfile.TemporaryDirectory() as folder:
        mesh, other = files_of(bent_bar((8, 3, 3)), folder)
    ends = lambda x: (x[:, 0] < 1e-9) | (x[:, 0] > 4 - 1e-9)  # noqa: E731
    space = FunctionSpace(mesh.tag_facets("ends", lambda x: x[:, 0] < 1e-9).tag_facets("tip", ends), "P2")
    source = HeatSource("all", Profile(lambda x: 1 + x[0] * x[1]))
    k = Profile(lambda x: 1 + x[0] + x[1] * x[2])
    u = solved(Heat(space, k, conditions=[source, Dirichlet("ends"), Dirichlet("tip")]))

    basis = skfem.Basis(other, skfem.ElementTetP2(), intorder=6)
    matrix = skfem.BilinearForm(lambda u, v, w: (1 + w.x[0] + w.x[1] * w.x[2]) * dot(grad(u), grad(v))).assemble(basis)
    load = skfem.LinearForm(lambda v, w: (1 + w.x[0] * w.x[1]) * v).assemble(basis)
    fixed = basis.get_dofs(lambda x: (x[0] < 1e-9) | (x[0] > 4 - 1e-9))
    theirs = skfem.solve(*skfem.condense(matrix, load, D=fixed))
    where = KDTree(basis.doflocs.T).query(np.asarray(space.nodes()))[1]
    off = np.max(np.abs(np.asarray(u) - theirs[where])) / np.max(np.abs(theirs))
    return [absolute("largest difference at a node over the largest value", 0.0, off, 1e-9)]


@case(
    "skfem-elasticity",
    group=GROUP,
    title="Plane strain on quadrilaterals beside scikit-fem",
    equations="",
    setup="A tapered panel of 12 × 6 quadrilaterals Q2 in one VTU file, E = 1, ν = 0.3, held on the left, traction "
    "(0.2, 1) on the "
    "right.",
    source=SKFEM,
    needs=("scikit-fem",),
)
def skfem_elasticity() -> Sequence[Check]:
    skfem, _ = skfem_modules()

    with tempfile.TemporaryDirectory() as folder:
        mesh, other = files_of(_panel(12, 6), folder)
    mesh = mesh.tag_facets("held", lambda x: x[:, 0] < 1e-9).tag_facets("pulled", lambda x: x[:, 0] > 4 - 1e-9)
    space = FunctionSpace(mesh, "Q2", (2,))
    pull = Traction("pulled", jnp.array([0.2, 1.0]))
    u = solved(Elasticity(space, 1.0, 0.3, conditions=[pull, Dirichlet("held")], kinematics="plane strain"))
    work = total(space, lambda u, p: 0.2 * u.value[0] + u.value[1], u, "pulled", facets=True)

    basis, stiffness, _ = _skfem_elastic(other)
    tip = skfem.FacetBasis(other, basis.elem, facets=other.facets_satisfying(lambda x: x[0] > 4 - 1e-9), intorder=6)
    load = skfem.LinearForm(lambda v, w: 0.2 * v[0] + v[1]).assemble(tip)
    theirs = skfem.solve(*skfem.condense(stiffness, load, D=basis.get_dofs(lambda x: x[0] < 1e-9)))
    return [relative("work of the load", load @ theirs, work, 1e-6)]


@case(
    "skfem-modal",
    group=GROUP,
    title="Natural frequencies on quadrilaterals beside scikit-fem",
    equations="",
    setup="As skfem-elasticity, ρ = 1; scipy's Lanczos solver on scikit-fem's matrices.",
    source=SKFEM,
    needs=("scikit-fem",),
)
def skfem_modal() -> Sequence[Check]:
    with tempfile.TemporaryDirectory() as folder:
        mesh, other = files_of(_panel(12, 6), folder)
    space = FunctionSpace(mesh.tag_facets("held", lambda x: x[:, 0] < 1e-9), "Q2", (2,))
    body = Elasticity(space, 1.0, 0.3, 1.0, [Dirichlet("held")], kinematics="plane strain")
    found, _ = modes(Modal(body, 4, rtol=1e-10)).checked()

    basis, stiffness, mass = _skfem_elastic(other)
    free = basis.complement_dofs(basis.get_dofs(lambda x: x[0] < 1e-9))
    k, m = stiffness[free][:, free], mass[free][:, free]
    squares = scipy.sparse.linalg.eigsh(k, 4, m, sigma=0.0, v0=np.ones(len(free)), return_eigenvectors=False)
    theirs = np.sqrt(np.sort(squares)) / (2 * np.pi)
    return [relative(f"frequency {i + 1}", theirs[i], found[i], 1e-6, "Hz") for i in range(4)]


def _panel(nx: int, ny: int) -> Mesh:
    taper = lambda x: np.stack([x[:, 0], x[:, 1] * (1 - 0.15 * x[:, 0]) + 0.2 * x[:, 0]], axis=1)  # noqa: E731
    return mapped(rectangle(nx, ny, size=(4.0, 1.0)), taper)


def _skfem_elastic(mesh: Any) -> tuple[Any, Any, Any]:
    """scikit-fem's basis, stiffness and mass of plane strain with E = 1, ν = 0.3, ρ = 1."""
    skfem, helpers = skfem_modules()
    ddot, dot, sym_grad, trace = helpers.ddot, helpers.dot, helpers.sym_grad, helpers.trace

    basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementQuad2()), intorder=6)
    first, shear = 0.3 / 1.3 / 0.4, 1 / 2.6

    def hooke(u: Any, v: Any, w: Any) -> Any:
        strain, test = sym_grad(u), sym_grad(v)
        return first * trace(strain) * trace(test) + 2 * shear * ddot(strain, test)

    mass = skfem.BilinearForm(lambda u, v, w: dot(u, v)).assemble(basis)
    return basis, skfem.BilinearForm(hooke).assemble(basis), mass


@case(
    "calculix-static",
    group=GROUP,
    title="Statics on ten-node tetrahedra beside CalculiX",
    equations="",
    setup="A tapered and bent bar of 6 × 2 × 2 lattice cells of C3D10 with straight edges in one Abaqus file, E = "
    "210 GPa, ν = 0.3, held at "
    "one end; gravity, and a pressure of 1 MPa on the top.",
    source=CALCULIX,
    needs=("CalculiX",),
)
def calculix_static() -> Sequence[Check]:
    with tempfile.TemporaryDirectory() as folder:
        deck = calculix.Deck(Path(folder), bent_bar((6, 2, 2)))
        top = lambda x: x[:, 2] > (1 - 0.1 * x[:, 0]) - 1e-9  # noqa: E731
        step = "*STEP\n*STATIC\n*BOUNDARY\nHELD, 1, 3\n*DLOAD\nEALL, GRAV, 9.81, 0., 0., -1.\n"
        end = "\n*NODE PRINT, NSET=NALL\nU\n*END STEP"
        head = [deck.node_set("HELD", lambda x: x[:, 0] < 1e-9), calculix.material(210e9, 0.3, 7850.0)]
        theirs = calculix.displacements(deck.run("\n".join(head) + "\n" + step + deck.pressure(top, 1e6) + end))
        mesh = read_mesh(deck.mesh_file).tag_facets("held", lambda x: x[:, 0] < 1e-9).tag_facets("top", top)
    space = FunctionSpace(mesh, "P2", (3,))
    weight = BodyForce("all", jnp.array([0.0, 0.0, -7850 * 9.81]))
    u = solved(Elasticity(space, 210e9, 0.3, conditions=[weight, Pressure("top", 1e6), Dirichlet("held")]))
    where = KDTree(deck.points).query(np.asarray(space.nodes()))[1]
    size = np.max(np.abs(theirs))
    off = np.max(np.abs(np.asarray(u) - theirs[where])) / size
    return [
        relative("largest displacement", 1e3 * size, 1e3 * jnp.max(jnp.abs(u)), 2e-6, "mm"),
        absolute("largest difference at a node over the largest displacement", 0.0, off, 2e-6),
    ]


@case(
    "calculix-modal",
    group=GROUP,
    title="Natural frequencies on ten-node tetrahedra beside CalculiX",
    equations="",
    setup="The bar of calculix-static, held at one end, six frequencies. CalculiX integrates the mass of C3D10 "
    "with four "
    "points, which is not exact; Gemel does so too for this comparison.",
    source=CALCULIX,
    needs=("CalculiX",),
)
def calculix_modal() -> Sequence[Check]:
    with tempfile.TemporaryDirectory() as folder:
        deck = calculix.Deck(Path(folder), bent_bar((6, 2, 2)))
        head = [deck.node_set("HELD", lambda x: x[:, 0] < 1e-9), calculix.material(210e9, 0.3, 7850.0)]
        step = ["*BOUNDARY\nHELD, 1, 3\n*STEP\n*FREQUENCY\n6\n*END STEP"]
        theirs = calculix.frequencies(deck.run("\n".join([*head, *step])))
        mesh = read_mesh(deck.mesh_file).tag_facets("held", lambda x: x[:, 0] < 1e-9)
    space = FunctionSpace(mesh, "P2", (3,))
    body = Elasticity(space, 210e9, 0.3, 7850.0, [Dirichlet("held")])
    exact, _ = modes(Modal(body, 6)).checked()
    coarse = DiscreteProblem.of(space, [Term(Reaction(7850.0), degree=2)], [Dirichlet("held")])
    found, _ = modes(Modal(eqx.tree_at(lambda body: body.inertia, body, coarse), 6)).checked()
    off = np.max(np.abs(np.asarray(exact) / theirs - 1))
    return [
        *(relative(f"frequency {i + 1}, mass by four points", theirs[i], found[i], 2e-6, "Hz") for i in range(6)),
        absolute("largest relative difference, exact mass", 0.0, off, 1e-3),
    ]


CASES = (skfem_poisson, skfem_elasticity, skfem_modal, calculix_static, calculix_modal)
"""The chapter."""
