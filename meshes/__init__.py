"""Meshes with named tags: boxes, files, topology."""
