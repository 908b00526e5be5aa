"""The other codes: what each solves, where it lives and what it needs.

Each has a folder with ``solve.py``, whose ``run(task)`` returns a row, and ``requirements.txt`` with the versions
that were measured. It runs in an environment of its own, which ``python -m benchmarks setup NAME`` makes.
"""

from typing import NamedTuple

from benchmarks.cases import Case


class Task(NamedTuple):
    """What a peer is asked to do: the points and the cells of the mesh are in the ``npz`` file ``mesh``."""

    case: Case
    code: str
    size: int
    repeat: int
    mesh: str


class Peer(NamedTuple):
    """One code with one way of solving.

    ``folder`` names its script and its environment, ``probe`` the module whose import shows that it is installed, and
    ``packages`` those whose versions a row records. A direct solver stops at ``largest`` blocks along a side.
    ``system`` lists Debian packages that pip cannot install; such an environment uses Debian's interpreter.
    """

    name: str
    title: str
    folder: str
    probe: str
    packages: tuple[str, ...]
    cases: tuple[str, ...]
    largest: int | None = None
    processes: int = 1
    system: tuple[str, ...] = ()

    def solves(self, case: Case, n: int) -> bool:
        """Whether it has this row."""
        return case.name in self.cases and (self.largest is None or n <= self.largest)


_POISSON = ("poisson-hex", "poisson-shuffled")
_ELASTICITY = ("elasticity-box", "elasticity-shuffled")
_ALL_HEXAHEDRA = (*_POISSON, *_ELASTICITY)
_SKFEM = ("scikit-fem", "scipy", "pyamg", "numpy")
_DEBIAN = ("python3-dolfinx", "python3-petsc4py")
_DOLFINX = ("fenics-dolfinx", "petsc4py", "numpy")

BOOMERAMG = {
    "pc_type": "hypre",
    "pc_hypre_type": "boomeramg",
    "pc_hypre_boomeramg_strong_threshold": 0.7,
    "pc_hypre_boomeramg_agg_nl": 4,
    "pc_hypre_boomeramg_agg_num_paths": 2,
}
"""Options of PETSc for Poisson's equation, those of DOLFINx's own performance tests."""

PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "scikit-fem",
            "scikit-fem, CG with smoothed aggregation of pyamg",
            "scikit_fem",
            "skfem",
            _SKFEM,
            (*_ALL_HEXAHEDRA, "poisson-tet", "elasticity-tet", "elasticity-hex"),
        ),
        Peer(
            "scikit-fem-direct",
            "scikit-fem, SuperLU of scipy",
            "scikit_fem",
            "skfem",
            _SKFEM,
            ("poisson-hex", "poisson-tet", "elasticity-tet", "elasticity-hex", "transient"),
            largest=16,
        ),
        Peer(
            "jax-fem",
            "JAX-FEM, CG with BoomerAMG or BiCGSTAB(2) with ILU of PETSc",
            "jax_fem",
            "jax_fem.solver",
            ("jax-fem", "jax", "petsc4py", "numpy"),
            (*_ALL_HEXAHEDRA, "gradient"),
            system=("python3-petsc4py", "python3-scipy", "libglu1-mesa"),
        ),
        Peer(
            "torch-fem",
            "torch-fem, CG with smoothed aggregation of pyamg",
            "torch_fem",
            "torchfem",
            ("torch-fem", "torch", "pyamg", "numpy"),
            (*_ALL_HEXAHEDRA, "gradient"),
        ),
        Peer(
            "tatva",
            "tatva, CG with smoothed aggregation of pyamg",
            "tatva",
            "tatva",
            ("tatva", "jax", "pyamg", "numpy"),
            (*_ALL_HEXAHEDRA, "gradient"),
        ),
        Peer(
            "feax",
            "FEAX, CG without a matrix, smoothed aggregation of pyamg in JAX",
            "feax",
            "feax",
            ("feax", "amjax", "jax", "pyamg", "numpy"),
            (*_ALL_HEXAHEDRA, "gradient"),
        ),
        Peer(
            "pymfem",
            "PyMFEM (serial), CG with Gauss-Seidel",
            "pymfem",
            "mfem.ser",
            ("mfem", "numba", "numpy"),
            _ALL_HEXAHEDRA,
        ),
        Peer(
            "fenicsx",
            "FEniCSx, CG with BoomerAMG or GAMG of PETSc",
            "fenicsx",
            "dolfinx",
            _DOLFINX,
            (*_ALL_HEXAHEDRA, "poisson-tet", "elasticity-tet", "elasticity-hex"),
            system=_DEBIAN,
        ),
        Peer(
            "fenicsx-2",
            "FEniCSx in two processes, CG with BoomerAMG or GAMG of PETSc",
            "fenicsx",
            "dolfinx",
            _DOLFINX,
            (*_ALL_HEXAHEDRA, "poisson-tet", "elasticity-tet", "elasticity-hex"),
            processes=2,
            system=_DEBIAN,
        ),
        Peer(
            "diffrax",
            "diffrax under vmap, Kvaerno5 or Tsit5",
            "diffrax",
            "diffrax",
            ("diffrax", "jax", "equinox", "numpy"),
            ("van-der-pol", "robertson", "lorenz"),
        ),
    )
}
