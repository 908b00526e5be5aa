"""Physics: forms with materials and boundary conditions, ready to be discretised."""

from gemel.engine.physics.bodyloads import Centrifugal, Gravity
from gemel.engine.physics.circuit import Curve, EquivalentCircuit, LumpedHeat
from gemel.engine.physics.elasticity import (
    AddedMass,
    BodyForce,
    Dashpots,
    Elasticity,
    ElasticSupport,
    Force,
    Pressure,
    Traction,
    lame,
    nodal_stress,
)
from gemel.engine.physics.formulation import Formulation
from gemel.engine.physics.frame import Frame, member_forces
from gemel.engine.physics.heat import (
    Capacitance,
    Convection,
    Flux,
    Heat,
    HeatSource,
    MovingSource,
    Power,
    Radiation,
)
from gemel.engine.physics.hyperelasticity import FollowerPressure, Hyperelasticity
from gemel.engine.physics.network import HeatFlow, ThermalLink, ThermalNetwork, ThermalNode
from gemel.engine.physics.phase_change import PhaseChange, liquid_fraction
from gemel.engine.physics.physics import Physics
from gemel.engine.physics.recovery import nodal_values, reaction, strain_field, stress_field, volume_average
from gemel.engine.physics.solid import Solid
from gemel.engine.physics.system import LinearSystem, OdeSystem
from gemel.engine.physics.thermoelasticity import Thermoelasticity

__all__ = [
    "AddedMass",
    "BodyForce",
    "Capacitance",
    "Centrifugal",
    "Convection",
    "Curve",
    "Dashpots",
    "ElasticSupport",
    "Elasticity",
    "EquivalentCircuit",
    "Flux",
    "FollowerPressure",
    "Force",
    "Formulation",
    "Frame",
    "Gravity",
    "Heat",
    "HeatFlow",
    "HeatSource",
    "Hyperelasticity",
    "LinearSystem",
    "LumpedHeat",
    "MovingSource",
    "OdeSystem",
    "PhaseChange",
    "Physics",
    "Power",
    "Pressure",
    "Radiation",
    "Solid",
    "ThermalLink",
    "ThermalNetwork",
    "ThermalNode",
    "Thermoelasticity",
    "Traction",
    "lame",
    "liquid_fraction",
    "member_forces",
    "nodal_stress",
    "nodal_values",
    "reaction",
    "strain_field",
    "stress_field",
    "volume_average",
]
