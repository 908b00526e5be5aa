"""Structural members between two nodes: sections, bars and beams in space."""

from gemel.engine.structures.axes import (
    default_orientation,
    local_axes,
    planar,
    planar_corners,
    planar_orientation,
    transformation,
)
from gemel.engine.structures.conditions import (
    Heating,
    LineLoad,
    MemberCondition,
    Release,
    RigidOffset,
    SelfWeight,
    Support,
)
from gemel.engine.structures.loads import (
    MemberLoad,
    end_forces,
    nodal_loads,
    section_forces,
    section_motions,
)
from gemel.engine.structures.member import (
    THEORIES,
    Member,
    geometric_stiffness,
    lumped_mass,
    mass,
    stiffness,
)
from gemel.engine.structures.points import PointDashpot, PointElement, PointLoad, PointMass, PointSpring
from gemel.engine.structures.sections import Section, SectionConstants

__all__ = [
    "THEORIES",
    "Heating",
    "LineLoad",
    "Member",
    "MemberCondition",
    "MemberLoad",
    "PointDashpot",
    "PointElement",
    "PointLoad",
    "PointMass",
    "PointSpring",
    "Release",
    "RigidOffset",
    "Section",
    "SectionConstants",
    "SelfWeight",
    "Support",
    "default_orientation",
    "end_forces",
    "geometric_stiffness",
    "local_axes",
    "lumped_mass",
    "mass",
    "nodal_loads",
    "planar",
    "planar_corners",
    "planar_orientation",
    "section_forces",
    "section_motions",
    "stiffness",
    "transformation",
]
