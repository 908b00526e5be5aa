"""Other codes on the same meshes; nothing here imports gemel or jax, so that a peer's memory is its own."""
