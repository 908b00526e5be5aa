"""Solvers that know operators and residual functions, never meshes."""

from gemel.solvers.continuation import LoadPath, LoadSteps, load_path, robust_newton
from gemel.solvers.deflation import Deflation
from gemel.solvers.direct import DenseDirect, SparseDirect
from gemel.solvers.early_stopping import EarlyStopping
from gemel.solvers.eigen import EigenSolver, ShiftInvert, eigen_solve
from gemel.solvers.ensembles import (
    EnsembleMethod,
    ForwardMode,
    PIControl,
    ReverseMode,
    Rodas4,
    Rodas5P,
    Trajectories,
    Tsit5,
    integrate_ensemble,
)
from gemel.solvers.field_split import FieldSplit
from gemel.solvers.geometric import Multigrid
from gemel.solvers.harmonic import HarmonicDirect, HarmonicOperator
from gemel.solvers.implicit import Adjoint, Implicit, Unrolled, implicit_solve, tangent_solve
from gemel.solvers.krylov import CG, FGMRES, GMRES, MINRES, BiCGStab, KrylovSolver
from gemel.solvers.lbfgs import LBFGS
from gemel.solvers.least_squares import (
    FitState,
    GradientDescent,
    LeastSquaresSolver,
    LevenbergMarquardt,
    Linearisation,
)
from gemel.solvers.linear import affine_solve, linear_solve
from gemel.solvers.linear_solver import LinearSolver, Preconditioner
from gemel.solvers.linearising import Regularised
from gemel.solvers.lobpcg import LOBPCG
from gemel.solvers.many import solve_columns, solve_scenarios, stack_operators
from gemel.solvers.mass_invert import MassInvert
from gemel.solvers.multigrid import AMG
from gemel.solvers.nesting import Prolongation
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
from gemel.solvers.preconditioners import Identity, InnerSolve, Jacobi
from gemel.solvers.solution import Code, Solution, SolveError, Status
from gemel.solvers.sparse import AssembledOperator, SparseOperator, SparsityPattern, linear_combination
from gemel.solvers.stencil import Lattice, StencilOperator
from gemel.solvers.time import (
    BDF2,
    SDIRK2,
    SDIRK4,
    CentralDifference,
    CrankNicolson,
    EmbeddedIntegrator,
    ErrorControl,
    Event,
    EventRecord,
    Events,
    FirstOrderSystem,
    GeneralizedAlpha,
    ImplicitEuler,
    Motion,
    Newmark,
    SecondOrderSystem,
    StoringSystem,
    System,
    TimeIntegrator,
    integrate,
    integrate_adaptive,
    lifted_motion,
    stable_step,
    step_grid,
)

__all__ = [
    "AMG",
    "BDF2",
    "CG",
    "FGMRES",
    "GMRES",
    "LBFGS",
    "LOBPCG",
    "MINRES",
    "SDIRK2",
    "SDIRK4",
    "Adjoint",
    "AssembledOperator",
    "Backtracking",
    "BiCGStab",
    "CentralDifference",
    "Code",
    "ConstrainedOperator",
    "CrankNicolson",
    "Deflation",
    "DenseDirect",
    "DenseOperator",
    "DiagonalOperator",
    "EarlyStopping",
    "EigenSolver",
    "EmbeddedIntegrator",
    "EnsembleMethod",
    "ErrorControl",
    "Event",
    "EventRecord",
    "Events",
    "FieldSplit",
    "FirstOrderSystem",
    "FitState",
    "ForwardMode",
    "FunctionOperator",
    "GeneralizedAlpha",
    "GradientDescent",
    "HarmonicDirect",
    "HarmonicOperator",
    "Identity",
    "Implicit",
    "ImplicitEuler",
    "InnerSolve",
    "Jacobi",
    "KrylovSolver",
    "Lattice",
    "LeastSquaresSolver",
    "LevenbergMarquardt",
    "LinearOperator",
    "LinearSolver",
    "Linearisation",
    "LoadPath",
    "LoadSteps",
    "MassInvert",
    "Motion",
    "Multigrid",
    "Newmark",
    "Newton",
    "NonlinearSolver",
    "PIControl",
    "Preconditioner",
    "Prolongation",
    "Regularised",
    "ReverseMode",
    "Rodas4",
    "Rodas5P",
    "SecondOrderSystem",
    "ShiftInvert",
    "Solution",
    "SolveError",
    "SparseDirect",
    "SparseOperator",
    "SparsityPattern",
    "Status",
    "StencilOperator",
    "StoringSystem",
    "SumOperator",
    "System",
    "TimeIntegrator",
    "Trajectories",
    "TransposedOperator",
    "Tsit5",
    "Unrolled",
    "affine_solve",
    "dense_matrix",
    "eigen_solve",
    "implicit_solve",
    "integrate",
    "integrate_adaptive",
    "integrate_ensemble",
    "lifted_motion",
    "linear_combination",
    "linear_solve",
    "load_path",
    "nonlinear_solve",
    "robust_newton",
    "solve_columns",
    "solve_scenarios",
    "stable_step",
    "stack_operators",
    "step_grid",
    "tangent_solve",
]
