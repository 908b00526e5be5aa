"""How derivatives pass through a run of an ensemble."""

from gemel.solvers.implicit import Adjoint


class ForwardMode(Adjoint):
    """Derivatives carried along with the states (``jvp``, ``jacfwd``): for few parameters and many outputs."""


class ReverseMode(Adjoint):
    """Derivatives by going back through the steps (``grad``, ``vjp``): for many parameters and few outputs.

    The run is repeated in rounds from stored states; memory grows with the square root of the limit of steps.
    """
