"""Compilation of what users call step by step."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
from jax.core import Tracer

F = TypeVar("F", bound=Callable[..., Any])


def one_program(function: F) -> F:
    """Compile a call as one program, also under ``grad``; a call inside ``jit`` or ``vmap`` is a part of the caller's.

    Called step by step, JAX compiles a program for each operation of a pure function, which takes many times as
    long; a program of its own inside a larger one makes that larger to compile.
    """
    compiled: Any = eqx.filter_jit(function)

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        tracers = [leaf for leaf in jax.tree.leaves((arguments, options)) if isinstance(leaf, Tracer)]
        traced = any(isinstance(jax.lax.stop_gradient(leaf), Tracer) for leaf in tracers)
        return (function if traced else compiled)(*arguments, **options)

    return call  # pyright: ignore[reportReturnType]


def sharing(function: F) -> F:
    """``eqx.filter_jit`` whose results share the arrays that they take over unchanged from the arguments.

    XLA copies an argument that is a result as well: an operator would come with its own copy of its sparsity.
    """

    @eqx.filter_jit
    def compiled(arguments: tuple[Any, ...]) -> tuple[list[Any], tuple[tuple[int | None, ...], Any]]:
        given = {id(leaf): number for number, leaf in enumerate(jax.tree.leaves(arguments))}
        leaves, structure = jax.tree.flatten(function(*arguments))
        taken = tuple(given.get(id(leaf)) if eqx.is_array(leaf) else None for leaf in leaves)
        return [leaf for leaf, number in zip(leaves, taken, strict=True) if number is None], (taken, structure)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        made, (taken, structure) = compiled(arguments)
        given, new = jax.tree.leaves(arguments), iter(made)
        return jax.tree.unflatten(structure, [next(new) if number is None else given[number] for number in taken])

    return call  # pyright: ignore[reportReturnType]
