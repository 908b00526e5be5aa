"""Gemel: a differentiable physics engine for digital twins."""
