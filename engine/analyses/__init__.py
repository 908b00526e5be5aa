"""Analyses: the questions that a physics can be asked."""

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.analyses.modal import Modal, modes
from gemel.engine.analyses.ode import AdaptiveOde, Ode
from gemel.engine.analyses.rigid_motions import unconstrained_modes
from gemel.engine.analyses.steady import Steady, solve
from gemel.engine.analyses.transient import Transient

__all__ = ["AdaptiveOde", "Analysis", "Modal", "Ode", "Steady", "Transient", "modes", "solve", "unconstrained_modes"]
