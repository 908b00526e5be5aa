"""Compilation of what users call step by step."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
from jax.core import Tracer

F = TypeVar("F", bound=Callable[..., Any])


def one_program(function: F) -> F:
    """Compile a call with known arrays as one program; a call inside ``jit`` or ``grad`` is a part of the caller's.

    Called step by step, JAX compiles a program for each operation of a pure function, which takes many times as
    long; a program of its own inside a larger one makes that larger to compile.
    """
    compiled: Any = eqx.filter_jit(function)

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((arguments, options)))
        return (function if traced else compiled)(*arguments, **options)

    return call  # pyright: ignore[reportReturnType]
