"""Materials: pure laws at one point, on tensors of three dimensions."""

from gemel.engine.materials.axes import MaterialAxes
from gemel.engine.materials.isotropic import Isotropic, lame_constants
from gemel.engine.materials.j2_plasticity import J2Plasticity, J2State
from gemel.engine.materials.material import DecoupledMaterial, FiniteStrainMaterial, SmallStrainMaterial
from gemel.engine.materials.mooney_rivlin import MooneyRivlin
from gemel.engine.materials.neo_hookean import NeoHookean
from gemel.engine.materials.ogden import Ogden
from gemel.engine.materials.orthotropic import Orthotropic
from gemel.engine.materials.plane_stress import PlaneStress
from gemel.engine.materials.prony import Prony, PronyState
from gemel.engine.materials.tensors import deviator, von_mises
from gemel.engine.materials.thermal_strain import ThermalStrain

__all__ = [
    "DecoupledMaterial",
    "FiniteStrainMaterial",
    "Isotropic",
    "J2Plasticity",
    "J2State",
    "MaterialAxes",
    "MooneyRivlin",
    "NeoHookean",
    "Ogden",
    "Orthotropic",
    "PlaneStress",
    "Prony",
    "PronyState",
    "SmallStrainMaterial",
    "ThermalStrain",
    "deviator",
    "lame_constants",
    "von_mises",
]
