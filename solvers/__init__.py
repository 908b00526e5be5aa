"""Solvers that know operators and residual functions, never meshes."""
