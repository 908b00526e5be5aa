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
