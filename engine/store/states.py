"""The state of an analysis as a file, from which a run in another process goes on."""

import io
import zipfile
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gemel.engine.store.files import StoreError, write_atomically


def _named(state: Any) -> dict[str, Any]:
    """The arrays of a pytree by their paths, such as ``history[0].values[0].plastic_strain``."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path).lstrip(".") or "state": leaf for path, leaf in leaves if eqx.is_array_like(leaf)}


def save_state(path: str | Path, state: Any) -> None:
    """Write the arrays of a state, any pytree of them, to an ``.npz`` file by their names.

    A kill at any moment leaves the old file or the new one; the digits are kept to the last bit.
    """
    stream = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in _named(state).items()}
    np.savez_compressed(stream, **arrays)
    write_atomically(Path(path), stream.getvalue())


def load_state(path: str | Path, like: Any) -> Any:
    """Read what `save_state` wrote.

    Args:
        path: the file.
        like: a state of the same structure and shapes, such as the start of the same analysis; its numbers are not
            used.

    Raises:
        StoreError: where there is no such file, it is damaged, or it is the state of another model: the message says
            which array is missing, too many or of another shape.
    """
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise StoreError(f"There is no state at '{path}'.") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(f"'{path}' is not the file of a state, or is damaged.") from error
    expected = _named(like)
    for name in sorted(expected.keys() ^ found.keys()):
        what = "has no" if name in expected else "has an array too many,"
        raise StoreError(f"The state '{path}' is of another model: it {what} '{name}'.")
    for name, leaf in expected.items():
        if np.shape(leaf) != found[name].shape:
            raise StoreError(
                f"The state '{path}' is of another model: '{name}' has the shape {found[name].shape}, "
                f"not {np.shape(leaf)}."
            )
    leaves, tree = jax.tree.flatten(like)
    arrays = (jnp.asarray(found[name]) for name in expected)
    return jax.tree.unflatten(tree, [next(arrays) if eqx.is_array_like(leaf) else leaf for leaf in leaves])
