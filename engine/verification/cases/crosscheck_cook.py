"""Cook's membrane of rubber under large deformations, solved by scikit-fem with tangents written out."""

import tempfile
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from scipy.spatial import KDTree

from gemel.engine import (
    Dirichlet,
    FunctionSpace,
    Hyperelasticity,
    MixedSpace,
    MooneyRivlin,
    Traction,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.cases.crosscheck import GROUP, SKFEM, files_of, skfem_modules
from gemel.engine.verification.tools import mapped, solved
from gemel.meshes import Mesh, quadrature, rectangle

_MU, _BULK, _LOAD = 80.1938, 400889.806, 100.0 / 16.0
_STEPS = np.array([0.25, 0.5, 0.75, 1.0])
_FINE = 6.936
"""The tip on 16 × 16 and on 24 × 24 graded quadrilaterals Q3 with a pressure of Q2, in mm."""


def _membrane(n: int) -> Mesh:
    """Triangles that are finer towards the corner where the clamped side meets the upper one."""

    def taper(x: np.ndarray) -> np.ndarray:
        s, t = x[:, 0] ** 2, 1 - (1 - x[:, 1]) ** 2
        return np.stack([48 * s, 44 * s + t * (44 - 28 * s)], axis=1)

    return mapped(rectangle(n, n, cell="triangle"), taper)


class _Rubber:
    """The forms of scikit-fem for the stationary points of ψ_iso + p (J − 1) − p²/2K."""

    def __init__(self, mesh: Any) -> None:
        self.skfem, self.helpers = skfem_modules()
        skfem = self.skfem
        points, weights = quadrature("triangle", 4)
        rule = (np.asarray(points).T, np.asarray(weights))
        self.u = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP2()), quadrature=rule)
        self.p = self.u.with_element(skfem.ElementTriP1())
        end = mesh.facets_satisfying(lambda x: x[0] > 48 - 1e-9)
        tip = skfem.FacetBasis(mesh, self.u.elem, facets=end, intorder=4)
        self.load = skfem.LinearForm(lambda v, w: _LOAD * v[1]).assemble(tip)
        self.held = self.u.get_dofs(lambda x: x[0] < 1e-9).all()

    def at(self, w: Any) -> tuple[Any, Any, Any, Any]:
        """F in the plane, J, the cofactor, and F : F of all three dimensions."""
        deformation = w["u"].grad + np.eye(2)[:, :, None, None]
        volume = deformation[0, 0] * deformation[1, 1] - deformation[0, 1] * deformation[1, 0]
        return deformation, volume, _cofactor(deformation), self.helpers.ddot(deformation, deformation) + 1

    def stress(self, v: Any, w: Any) -> Any:
        f, j, g, first = self.at(w)
        piola = _MU * j ** (-2 / 3) * (f - first / (3 * j) * g) + w["p"] * g
        return self.helpers.ddot(piola, self.helpers.grad(v))

    def stiffness(self, u: Any, v: Any, w: Any) -> Any:
        ddot, h = self.helpers.ddot, self.helpers.grad(u)
        f, j, g, first = self.at(w)
        turned, swell = _cofactor(h), ddot(g, h)
        shape = h - (2 * ddot(f, h) * g + first * turned - first / j * swell * g) / (3 * j)
        piola = _MU * j ** (-2 / 3) * (shape - 2 / (3 * j) * swell * (f - first / (3 * j) * g)) + w["p"] * turned
        return ddot(piola, self.helpers.grad(v))

    def solve(self) -> np.ndarray:
        """The displacements by Newton's method in steps of the load, ``(n_dofs,)``."""
        skfem, n = self.skfem, self.u.N
        x = np.zeros(n + self.p.N)
        for share in _STEPS:
            for _ in range(12):
                w = {"u": self.u.interpolate(x[:n]), "p": self.p.interpolate(x[n:])}
                volume = skfem.LinearForm(lambda q, w: (self.at(w)[1] - 1 - w["p"] / _BULK) * q)
                r = skfem.LinearForm(self.stress).assemble(self.u, **w) - share * self.load
                swell = skfem.BilinearForm(lambda u, q, w: self.helpers.ddot(self.at(w)[2], self.helpers.grad(u)) * q)
                a = skfem.BilinearForm(self.stiffness).assemble(self.u, **w)
                b = swell.assemble(self.u, self.p, **w)
                c = skfem.BilinearForm(lambda p, q, w: -p * q / _BULK).assemble(self.p)
                matrix = scipy.sparse.bmat([[a, b.T], [b, c]], "csr")
                residual = np.concatenate([r, volume.assemble(self.p, **w)])
                step = skfem.solve(*skfem.condense(matrix, -residual, D=self.held))
                x = x + step
                if np.max(np.abs(step[:n])) < 1e-11:
                    break
            else:
                raise RuntimeError("Newton's method with scikit-fem has not converged.")
        return x[:n]


def _cofactor(a: Any) -> Any:
    return np.array([[a[1, 1], -a[1, 0]], [-a[0, 1], a[0, 0]]])


@case(
    "cook-finite-strain",
    group=GROUP,
    title="Cook's membrane of nearly incompressible rubber beside scikit-fem",
    equations=r"$$ \psi = \frac\mu2(\bar I_1 - 3) + p\,(J - 1) - \frac{p^2}{2K} $$",
    setup="The tapered panel (0, 0), (48, 44), (48, 60), (0, 44) mm in plane strain, μ = 80.1938 MPa, K = 400889.806 "
    "MPa, held on the left, a dead load of 100 N/mm along y on the right; 12 × 12 × 2 triangles P2 with a "
    "pressure of P1, finer towards the upper left corner, in one VTU file; rules of degree 4 in both programs. With "
    "scikit-fem the stress and its tangent are written out by hand. The last reference is Gemel's own, 24 × 24 "
    "quadrilaterals Q3 with a pressure of Q2: the numbers in print that we know are not sharp enough (about 6.9 mm).",
    source=f"{SKFEM}; the problem: Simo, Armero, Int. J. Numer. Methods Eng. 33, 1992, section 5",
    needs=("scikit-fem",),
)
def cook_finite_strain() -> Sequence[Check]:
    with tempfile.TemporaryDirectory() as folder:
        mesh, other = files_of(_membrane(12), folder)
    mesh = mesh.tag_facets("held", lambda x: x[:, 0] < 1e-9).tag_facets("pulled", lambda x: x[:, 0] > 48 - 1e-9)
    displacements = FunctionSpace(mesh, "P2", (2,))
    space = MixedSpace({"u": displacements, "p": FunctionSpace(mesh, "P1")})
    conditions = [Dirichlet("held"), Traction("pulled", jnp.array([0.0, _LOAD]))]
    material = MooneyRivlin(_MU / 2, 0.0, _BULK)
    body = Hyperelasticity(space, material, conditions=conditions, kinematics="plane strain")
    found = np.asarray(space.unflatten(solved(body))["u"])

    rubber = _Rubber(other)
    nodes = np.asarray(displacements.nodes())
    theirs = rubber.solve()[np.sort(KDTree(rubber.u.doflocs.T).query(nodes, k=2)[1], axis=1)]
    tip = int(np.argmin(np.linalg.norm(nodes - [48.0, 60.0], axis=1)))
    off = np.max(np.abs(found - theirs)) / np.max(np.abs(theirs))
    return [
        relative("displacement of the tip along y", theirs[tip, 1], found[tip, 1], 1e-8, "mm"),
        absolute("largest difference at a node over the largest displacement", 0.0, off, 1e-8),
        relative("displacement of the tip along y, own finer mesh", _FINE, found[tip, 1], 1e-2, "mm"),
    ]


CASES = (cook_finite_strain,)
"""Part of the chapter."""
