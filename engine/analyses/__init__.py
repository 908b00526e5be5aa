"""Analyses: the questions that a physics can be asked."""

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.analyses.modal import Modal, modes
from gemel.engine.analyses.steady import Steady, solve
from gemel.engine.analyses.transient import Transient

__all__ = ["Analysis", "Modal", "Steady", "Transient", "modes", "solve"]
