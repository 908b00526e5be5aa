"""Work on many elements, some at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gemel.solvers.placing import short_loops_pay

_BYTES, _BYTES_ON_GPU = 2**22, 2**30
"""About what the elements worked on at a time need: on a CPU little enough to stay in cache, on a GPU, which wants all
of them at once, little enough for its memory.
"""


class Chunks(NamedTuple):
    """A ``function`` of many elements: of ``items``, a pytree of arrays with the ``number`` of elements first.

    ``size`` of them are taken at a time, in a loop, and the rest at the end; all at once where ``size`` is None. Where
    the results are symmetric matrices, ``half`` may be the function that gives their blocks on and above the diagonal.
    """

    function: Callable[[Any], Any]
    items: Any
    number: int
    size: int | None
    half: Callable[[Any], Any] | None = None

    @staticmethod
    def of(function: Callable[[Any], Any], items: Any, number: int, bytes_each: int) -> "Chunks":
        """Chunks of elements that need so many bytes each."""
        chunk = max(256, (_BYTES if short_loops_pay() else _BYTES_ON_GPU) // bytes_each)
        # a loop takes longer to compile
        return Chunks(function, items, number, None if number <= 4 * chunk else _even(chunk, number))

    def in_units(self, unit: int) -> "Chunks":
        """The same in chunks of so many elements or of a multiple of it, of which there is a whole number."""
        if self.size is None:
            return self
        return self._replace(size=unit * _even(max(1, self.size // unit), self.number // unit))

    @staticmethod
    def made(values: Array) -> "Chunks":
        """One chunk: arrays ``(..., elements)`` that are there."""
        return Chunks(lambda values: values, values, values.shape[-1], None)

    def then(self, function: Callable[[Any], Any]) -> "Chunks":
        """Those of another function of the results."""
        return self._replace(function=lambda item: function(self.function(item)), half=None)

    def blocks(self, width: int, symmetric: bool) -> "Chunks":
        """Of matrices ``(n width, n width, elements)`` their blocks ``(pairs, width, width, elements)``, row by row; of
        symmetric ones those on and above the diagonal.
        """
        if symmetric and self.half is not None:
            return self._replace(function=self.half, half=None)
        return self.then(lambda matrices: _blocks(matrices, width, symmetric))

    def joined(self) -> Any:
        """The results, with the elements first, side by side."""
        if self.size is None:
            return self.function(self.items)
        parts = [jax.tree.map(_joined, jax.lax.map(self.function, self._looped(self.size))), *self._rest(self.size)]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)

    def filled(self) -> Array:
        """The same of arrays ``(..., elements)``, each written to its place."""
        if self.size is None:
            return self.function(self.items)
        size, looped = self.size, self._looped(self.size)
        one = jax.eval_shape(self.function, jax.tree.map(lambda leaf: leaf[0], looped))
        empty = jnp.zeros((*one.shape[:-1], self.number // size * size), one.dtype)

        def write(total: Array, values: Array, start: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(total, values, start, axis=total.ndim - 1)

        parts = [_loop(self.function, looped, size, empty, write), *self._rest(size)]
        return jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    def folded(self, total: Array, add: "Adding") -> Array:
        """``total`` after ``add(total, result, first element)`` of every result in turn.

        No result is kept, by derivatives in reverse mode neither: they compute each one again.
        """
        if self.size is None:
            return add(total, self.function(self.items), 0)
        total = _loop(self.function, self._looped(self.size), self.size, total, add, again=True)
        for rest in self._rest(self.size):
            total = add(total, rest, self.number // self.size * self.size)
        return total

    def _looped(self, size: int) -> Any:
        loops = self.number // size
        return jax.tree.map(lambda leaf: leaf[: loops * size].reshape(loops, size, *leaf.shape[1:]), self.items)

    def _rest(self, size: int) -> list[Any]:
        """The result of what the loop leaves over, where there is something."""
        done = self.number // size * size
        return [] if done == self.number else [self.function(jax.tree.map(lambda leaf: leaf[done:], self.items))]


Adding = Callable[[Array, Array, Any], Array]
"""``add(total, values of some elements, number of the first of them)``."""


def _loop(
    function: Callable[[Any], Array], items: Any, size: int, total: Array, add: Adding, again: bool = False
) -> Array:
    """``total`` after adding each result; ``again`` where derivatives compute them again."""

    def step(carry: tuple[Array, Array], item: Any) -> tuple[tuple[Array, Array], None]:
        total, start = carry
        return (add(total, function(item), start), start + size), None

    body = jax.checkpoint(step, prevent_cse=False) if again else step  # pyright: ignore[reportPrivateImportUsage]
    return jax.lax.scan(body, (total, jnp.zeros((), jnp.int32)), items)[0][0]


def _blocks(matrices: Array, width: int, symmetric: bool) -> Array:
    size = matrices.shape[0] // width
    blocks = jnp.moveaxis(matrices.reshape(size, width, size, width, -1), 2, 1)
    return jnp.concatenate([blocks[a, a if symmetric else 0 :] for a in range(size)])


def _even(chunk: int, count: int) -> int:
    """The largest size from a half to the whole of ``chunk`` that leaves no remainder, which compiles once more."""
    return next((size for size in range(chunk, chunk // 2, -1) if count % size == 0), chunk)


def _joined(parts: Array) -> Array:
    """Chunks ``(n_chunks, chunk, ...)`` as ``(n, ...)``."""
    return parts.reshape(-1, *parts.shape[2:])
