"""Solvers that know operators and residual functions, never meshes."""

from gemel.solvers.direct import DenseDirect, SparseDirect
from gemel.solvers.eigen import EigenSolver, ShiftInvert, eigen_solve
from gemel.solvers.implicit import Adjoint, Implicit, Unrolled, implicit_solve, tangent_solve
from gemel.solvers.krylov import CG, GMRES
from gemel.solvers.least_squares import (
    FitState,
    GradientDescent,
    LeastSquaresSolver,
    LevenbergMarquardt,
    Linearisation,
)
from gemel.solvers.linear import linear_solve
from gemel.solvers.linear_solver import LinearSolver, Preconditioner
from gemel.solvers.lobpcg import LOBPCG
from gemel.solvers.multigrid import AMG
from gemel.solvers.newton import Backtracking, Newton, NonlinearSolver, nonlinear_solve
from gemel.solvers.operators import (
    ConstrainedOperator,
    DenseOperator,
    DiagonalOperator,
    FunctionOperator,
    LinearOperator,
    SumOperator,
    TransposedOperator,
    dense_matrix,
)
from gemel.solvers.preconditioners import Identity, Jacobi
from gemel.solvers.solution import Code, Solution, SolveError, Status
from gemel.solvers.sparse import SparseOperator, SparsityPattern, linear_combination
from gemel.solvers.time import SDIRK2, FirstOrderSystem, TimeIntegrator, integrate

__all__ = [
    "AMG",
    "CG",
    "GMRES",
    "LOBPCG",
    "SDIRK2",
    "Adjoint",
    "Backtracking",
    "Code",
    "ConstrainedOperator",
    "DenseDirect",
    "DenseOperator",
    "DiagonalOperator",
    "EigenSolver",
    "FirstOrderSystem",
    "FitState",
    "FunctionOperator",
    "GradientDescent",
    "Identity",
    "Implicit",
    "Jacobi",
    "LeastSquaresSolver",
    "LevenbergMarquardt",
    "LinearOperator",
    "LinearSolver",
    "Linearisation",
    "Newton",
    "NonlinearSolver",
    "Preconditioner",
    "ShiftInvert",
    "Solution",
    "SolveError",
    "SparseDirect",
    "SparseOperator",
    "SparsityPattern",
    "Status",
    "SumOperator",
    "TimeIntegrator",
    "TransposedOperator",
    "Unrolled",
    "dense_matrix",
    "eigen_solve",
    "implicit_solve",
    "integrate",
    "linear_combination",
    "linear_solve",
    "nonlinear_solve",
    "tangent_solve",
]
