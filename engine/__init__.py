"""Elements, spaces, forms, physics, twins, calibration and results."""

from gemel.engine.analyses import Analysis, Modal, Steady, Transient, modes, solve
from gemel.engine.calibration import CalibrationProblem, Fit, ParameterRow, calibrate, conclude
from gemel.engine.coefficients import ByTag, Input, Law, Profile, Vector, by_tag
from gemel.engine.constraints import Constraint, Dirichlet
from gemel.engine.domains import integrate
from gemel.engine.elements import LagrangeElement, lagrange
from gemel.engine.fields import Jet, Point, div, grad, inner, sym_grad
from gemel.engine.forecasting import Forecast, forecast
from gemel.engine.forms import Energy, Form, WeakForm
from gemel.engine.parameters import Belief, LogNormal, Normal, Parameter, Prior, Uniform, bind, parameters_of
from gemel.engine.physics import (
    AddedMass,
    BodyForce,
    Capacitance,
    Convection,
    Elasticity,
    ElasticSupport,
    Flux,
    Heat,
    HeatSource,
    Physics,
    Power,
    Pressure,
    Radiation,
    Traction,
    lame,
    nodal_stress,
)
from gemel.engine.problems import DiscreteProblem, Term
from gemel.engine.sensors import AverageSensor, FrequencySensor, Noise, OutputSensor, PointSensor, Sensor
from gemel.engine.signals import Record, Series
from gemel.engine.simulation import Run, simulate
from gemel.engine.spaces import FunctionSpace
from gemel.engine.twin import Twin

__all__ = [
    "AddedMass",
    "Analysis",
    "AverageSensor",
    "Belief",
    "BodyForce",
    "ByTag",
    "CalibrationProblem",
    "Capacitance",
    "Constraint",
    "Convection",
    "Dirichlet",
    "DiscreteProblem",
    "ElasticSupport",
    "Elasticity",
    "Energy",
    "Fit",
    "Flux",
    "Forecast",
    "Form",
    "FrequencySensor",
    "FunctionSpace",
    "Heat",
    "HeatSource",
    "Input",
    "Jet",
    "LagrangeElement",
    "Law",
    "LogNormal",
    "Modal",
    "Noise",
    "Normal",
    "OutputSensor",
    "Parameter",
    "ParameterRow",
    "Physics",
    "Point",
    "PointSensor",
    "Power",
    "Pressure",
    "Prior",
    "Profile",
    "Radiation",
    "Record",
    "Run",
    "Sensor",
    "Series",
    "Steady",
    "Term",
    "Traction",
    "Transient",
    "Twin",
    "Uniform",
    "Vector",
    "WeakForm",
    "bind",
    "by_tag",
    "calibrate",
    "conclude",
    "div",
    "forecast",
    "grad",
    "inner",
    "integrate",
    "lagrange",
    "lame",
    "modes",
    "nodal_stress",
    "parameters_of",
    "simulate",
    "solve",
    "sym_grad",
]
