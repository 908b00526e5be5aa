"""Many linear systems at once: several right-hand sides of one matrix, or scenarios with a matrix each.

`jax.vmap` of a loop runs until its slowest member is done, and computes the finished ones again in every step. Here
those are put aside: as soon as a quarter of the systems is left, only these go on, in arrays of a quarter of the width.
The widths are the first one over powers of four, so that a program holds a few loops, whatever happens at run time.
"""

from gemel.solvers.many.solve import solve_columns, solve_scenarios
from gemel.solvers.many.stacked import StackedOperator, stack_operators

__all__ = ["StackedOperator", "solve_columns", "solve_scenarios", "stack_operators"]
