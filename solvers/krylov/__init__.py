"""Krylov methods: one file each, what they share in `common`."""

from gemel.solvers.krylov.bicgstab import BiCGStab
from gemel.solvers.krylov.cg import CG
from gemel.solvers.krylov.common import KrylovSolver
from gemel.solvers.krylov.fgmres import FGMRES
from gemel.solvers.krylov.gmres import GMRES
from gemel.solvers.krylov.minres import MINRES

__all__ = ["CG", "FGMRES", "GMRES", "MINRES", "BiCGStab", "KrylovSolver"]
