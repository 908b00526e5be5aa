"""The one error of this package."""


class MeshError(ValueError):
    """A mesh, a mesh file or a question about a mesh is wrong; the message is one sentence that says how."""
