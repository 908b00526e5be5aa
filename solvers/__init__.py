"""Solvers that know operators and residual functions, never meshes."""

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
from gemel.solvers.solution import Code, Solution, SolveError, Status
from gemel.solvers.sparse import SparseOperator, SparsityPattern, linear_combination

__all__ = [
    "Code",
    "ConstrainedOperator",
    "DenseOperator",
    "DiagonalOperator",
    "FunctionOperator",
    "LinearOperator",
    "Solution",
    "SolveError",
    "SparseOperator",
    "SparsityPattern",
    "Status",
    "SumOperator",
    "TransposedOperator",
    "dense_matrix",
    "linear_combination",
]
