"""Time integration of problems of first and second order, differentiable in everything with bounded memory."""

from gemel.solvers.time.adaptive import integrate_adaptive
from gemel.solvers.time.bdf2 import BDF2
from gemel.solvers.time.central_difference import CentralDifference, stable_step
from gemel.solvers.time.control import ErrorControl
from gemel.solvers.time.events import Event, EventRecord, Events
from gemel.solvers.time.generalized_alpha import GeneralizedAlpha
from gemel.solvers.time.grid import step_grid
from gemel.solvers.time.integrator import EmbeddedIntegrator, TimeIntegrator
from gemel.solvers.time.loop import integrate
from gemel.solvers.time.newmark import Newmark
from gemel.solvers.time.sdirk2 import SDIRK2
from gemel.solvers.time.sdirk4 import SDIRK4
from gemel.solvers.time.systems import (
    FirstOrderSystem,
    Motion,
    SecondOrderSystem,
    StoringSystem,
    System,
    lifted_motion,
)
from gemel.solvers.time.theta import CrankNicolson, ImplicitEuler

__all__ = [
    "BDF2",
    "SDIRK2",
    "SDIRK4",
    "CentralDifference",
    "CrankNicolson",
    "EmbeddedIntegrator",
    "ErrorControl",
    "Event",
    "EventRecord",
    "Events",
    "FirstOrderSystem",
    "GeneralizedAlpha",
    "ImplicitEuler",
    "Motion",
    "Newmark",
    "SecondOrderSystem",
    "StoringSystem",
    "System",
    "TimeIntegrator",
    "integrate",
    "integrate_adaptive",
    "lifted_motion",
    "stable_step",
    "step_grid",
]
