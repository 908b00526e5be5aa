"""Physics: forms with materials and boundary conditions, ready to be discretised."""

from gemel.engine.physics.circuit import Curve, EquivalentCircuit, LumpedHeat
from gemel.engine.physics.elasticity import (
    AddedMass,
    BodyForce,
    Dashpots,
    Elasticity,
    ElasticSupport,
    Pressure,
    Traction,
    lame,
    nodal_stress,
)
from gemel.engine.physics.formulation import Formulation
from gemel.engine.physics.heat import Capacitance, Convection, Flux, Heat, HeatSource, Power, Radiation
from gemel.engine.physics.physics import Physics
from gemel.engine.physics.system import OdeSystem

__all__ = [
    "AddedMass",
    "BodyForce",
    "Capacitance",
    "Convection",
    "Curve",
    "Dashpots",
    "ElasticSupport",
    "Elasticity",
    "EquivalentCircuit",
    "Flux",
    "Formulation",
    "Heat",
    "HeatSource",
    "LumpedHeat",
    "OdeSystem",
    "Physics",
    "Power",
    "Pressure",
    "Radiation",
    "Traction",
    "lame",
    "nodal_stress",
]
