"""Analyses: the questions that a physics can be asked."""

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.analyses.buckling import Buckling, buckle
from gemel.engine.analyses.dynamic import Dynamic
from gemel.engine.analyses.elliptic import elliptic_solver
from gemel.engine.analyses.harmonic import Harmonic, response
from gemel.engine.analyses.linear import LinearOde
from gemel.engine.analyses.march import History, march
from gemel.engine.analyses.modal import Modal, modes
from gemel.engine.analyses.ode import AdaptiveOde, Ode
from gemel.engine.analyses.quasistatic import EquilibriumPath, PathState, Quasistatic, checked_path, follow
from gemel.engine.analyses.rigid_motions import unconstrained_modes
from gemel.engine.analyses.steady import Steady, solve
from gemel.engine.analyses.transient import Transient

__all__ = [
    "AdaptiveOde",
    "Analysis",
    "Buckling",
    "Dynamic",
    "EquilibriumPath",
    "Harmonic",
    "History",
    "LinearOde",
    "Modal",
    "Ode",
    "PathState",
    "Quasistatic",
    "Steady",
    "Transient",
    "buckle",
    "checked_path",
    "elliptic_solver",
    "follow",
    "march",
    "modes",
    "response",
    "solve",
    "unconstrained_modes",
]
