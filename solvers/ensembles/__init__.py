"""Ensembles: many small ordinary differential equations at once, each with its own steps."""

from gemel.solvers.ensembles.control import PIControl
from gemel.solvers.ensembles.method import EnsembleMethod
from gemel.solvers.ensembles.modes import ForwardMode, ReverseMode
from gemel.solvers.ensembles.rodas4 import Rodas4
from gemel.solvers.ensembles.rodas5p import Rodas5P
from gemel.solvers.ensembles.solve import Trajectories, integrate_ensemble
from gemel.solvers.ensembles.tsit5 import Tsit5

__all__ = [
    "EnsembleMethod",
    "ForwardMode",
    "PIControl",
    "ReverseMode",
    "Rodas4",
    "Rodas5P",
    "Trajectories",
    "Tsit5",
    "integrate_ensemble",
]
