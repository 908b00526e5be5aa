"""Conditions that a solution meets exactly: prescribed values and ties between unknowns."""

from gemel.engine.constraints.condition import Condition, Equations, Tie
from gemel.engine.constraints.constraint import Constraint
from gemel.engine.constraints.dirichlet import Dirichlet
from gemel.engine.constraints.periodic import Periodic, periodic_nodes
from gemel.engine.constraints.rigid import RigidConnection
from gemel.engine.constraints.ties import MultiPoint, Tied

__all__ = [
    "Condition",
    "Constraint",
    "Dirichlet",
    "Equations",
    "MultiPoint",
    "Periodic",
    "RigidConnection",
    "Tie",
    "Tied",
    "periodic_nodes",
]
