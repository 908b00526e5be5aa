"""Tables made on the host, moved to where JAX computes, what kind of place that is, and whether values are known."""

from typing import Any, TypeVar, overload

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

T = TypeVar("T")


@overload
def on_device(tree: np.ndarray | Array, copy: bool = False) -> Array: ...
@overload
def on_device(tree: tuple[np.ndarray, ...], copy: bool = False) -> tuple[Array, ...]: ...
@overload
def on_device(tree: T, copy: bool = False) -> T: ...
def on_device(tree: Any, copy: bool = False) -> Any:
    """The arrays of numpy in a pytree as arrays of JAX. Without ``copy`` they must not be written to afterwards: JAX
    may use their memory as it is.

    A plain transfer: ``jnp.asarray`` compiles a program for every new shape, about 20 ms each, which was most of the
    time that it took to plan a small problem. Inside ``jit`` they are constants, not traced. An array that occurs
    several times is moved once.
    """
    moved: dict[int, Array] = {}

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        if id(leaf) not in moved:
            moved[id(leaf)] = jax.device_put(leaf.copy() if copy else leaf)
        return moved[id(leaf)]

    with jax.ensure_compile_time_eval():
        return jax.tree.map(move, tree)


def short_loops_pay() -> bool:
    """Whether programs are better made of loops over parts that stay in cache: on a CPU, where they also save
    compilation. On a GPU each pass is a launch of its own.
    """
    return jax.default_backend() == "cpu"


def known(tree: object) -> bool:
    """True where no array of a pytree is traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))
