"""What may stand where a physics takes a number: constants, parameters, inputs, values by region, laws."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from gemel.engine.fields import Jet, Point

Tree = TypeVar("Tree")


class Input(eqx.Module):
    r"""A number that follows measured or chosen input signals: $g \prod_k s_k(t) + b$.

    Args:
        names: the signals' names in ``inputs`` of `simulate`; one name, or several whose product counts.
        gain: factor $g$ (may be a parameter), in the unit of the quantity over the units of the signals.
        offset: $b$ (may be a parameter).
    """

    names: tuple[str, ...] = eqx.field(
        static=True, converter=lambda names: (names,) if isinstance(names, str) else tuple(names)
    )
    gain: Any = 1.0
    offset: Any = 0.0

    def at(self, signals: Mapping[str, Any]) -> Any:
        """The number, given the signals' values at one time."""
        product = math.prod((signals[name] for name in self.names), start=self.gain)
        return product + self.offset


class ByTag(eqx.Module):
    """A number or a law for each named region of cells; the regions must cover the mesh and not overlap."""

    values: tuple[Any, ...]
    index: np.ndarray | Array

    def at(self, cells: Array, state_in: "Callable[[Array], State] | None" = None) -> "PerCell | Chosen":
        """The values at the given cells, one a row, or where there are laws which of them holds.

        ``state_in`` gives a state inside one of these cells, by its row.
        """
        if any(isinstance(value, Law | Profile) for value in self.values):
            index = jnp.asarray(self.index)[cells]
            rows = (jnp.argmax(index == number) for number in range(len(self.values)))
            return Chosen(self.values, PerCell(index), None if state_in is None else tuple(map(state_in, rows)))
        stacked = jnp.stack([jnp.asarray(value, float) for value in self.values])
        return PerCell(stacked[self.index[cells]])

    def within(self, cells: np.ndarray) -> "ByTag":
        """The same for these cells alone: laws that hold in none of them are zero."""
        used = np.unique(np.asarray(self.index)[cells])
        laws = [isinstance(value, Law | Profile) for value in self.values]
        kept = (0.0 if law and k not in used else self.values[k] for k, law in enumerate(laws))
        return ByTag(tuple(kept), self.index)


class PerCell(eqx.Module):
    """A number for each cell of a domain: the leading axis runs over its cells or facets."""

    values: Array


class State(eqx.Module):
    """What laws may be asked with: the value of the field, or a dictionary of those of several, and the position."""

    value: Any
    x: Array


class Chosen(eqx.Module):
    """One of several numbers or laws in each cell of a domain, by its place in the list.

    All are evaluated everywhere, so each is asked with one of ``states``, inside its own cells, where another holds:
    there it may not be finite, and zero times its slope would be NaN.
    """

    values: tuple[Any, ...]
    index: PerCell
    states: tuple[State, ...] | None = None

    def asked(self, number: int, u: Any, point: Point) -> tuple[Any, Point]:
        """The field and the point that one of them is asked with, at one quadrature point."""
        if self.states is None:
            return u, point
        here, other = self.index.values == number, self.states[number]

        def inside(jet: Jet, value: Array) -> Jet:
            return Jet(jnp.where(here, jet.value, value), jet.grad)

        fields = (
            inside(u, other.value)
            if isinstance(u, Jet)
            else {name: inside(jet, other.value[name]) for name, jet in u.items()}
        )
        return fields, Point(jnp.where(here, point.x, other.x), point.normal)


class PerPoint(eqx.Module):
    """A value for each quadrature point of a domain: leading axes run over its elements and their points."""

    values: Any


class QuadratureField(eqx.Module):
    """A value for each quadrature point of a term: history variables, or a field computed elsewhere.

    Args:
        values: one entry for each group of elements that the term acts on (one group a cell type, or a type of
            facet): a pytree of arrays ``(n_elements, n_points, ...)``.
    """

    values: tuple[Any, ...]


class FieldCoefficient(eqx.Module):
    """A finite-element function on the problem's mesh as a coefficient: a temperature, a stiffness that varies.

    Args:
        space: the function space it lives in.
        values: its nodal values ``(n_nodes, *shape)``; may be a parameter or traced.
    """

    space: Any
    values: Any

    def __check_init__(self) -> None:
        wanted = (self.space.n_nodes, *self.space.shape)
        if eqx.is_array(self.values) and self.values.shape != wanted:
            raise ValueError(f"A field that serves as a coefficient needs values {wanted}, not {self.values.shape}.")
        require_no_nan("A field that serves as a coefficient", self.values)


class Profile(eqx.Module):
    r"""A number that depends on the place alone: ``function(x, *parameters)``.

    Args:
        function: pure and differentiable; ``x (dim,)`` is the position in m.
        parameters: numbers or parameters handed to it.
    """

    function: Callable[..., Array] = eqx.field(static=True)
    parameters: tuple[Any, ...] = ()


class Law(eqx.Module):
    r"""A number that depends on state and place: ``function(u, x, *parameters)``; the problem becomes nonlinear.

    Args:
        function: pure and differentiable; ``u`` is the value of the field, ``x (dim,)`` the position in m. In a
            `ThermalNetwork` ``u`` is a dictionary of the nodes' temperatures in K, in an `EquivalentCircuit` one of
            its ``state_of_charge`` and, with heat, ``temperature``; ``x`` is None there.
        parameters: numbers, parameters or inputs handed to it.
    """

    function: Callable[..., Array] = eqx.field(static=True)
    parameters: tuple[Any, ...] = ()


class Vector(eqx.Module):
    """A vector whose entries are each a number, parameter or input."""

    entries: tuple[Any, ...]


def by_tag(mesh: Any, values: Mapping[str, Any]) -> ByTag:
    """One value for each tag of cells.

    Raises `ValueError` where a tag is unknown, two overlap, or cells are left without a value.
    """
    for tag, value in values.items():
        if isinstance(value, Vector):
            raise ValueError(f"Region '{tag}' needs a number, parameter, input or law, not a Vector.")
    index = np.full(mesh.n_cells, -1, dtype=np.int32)
    for number, tag in enumerate(values):
        cells = np.asarray(mesh.cells_of(tag))
        if np.any(index[cells] >= 0):
            other = list(values)[int(index[cells][index[cells] >= 0][0])]
            raise ValueError(f"Regions '{other}' and '{tag}' overlap: give each cell one value.")
        index[cells] = number
    if np.any(index < 0):
        missing = int(np.sum(index < 0))
        raise ValueError(f"{missing} of {mesh.n_cells} cells lie in none of the regions {sorted(values)}.")
    return ByTag(tuple(values.values()), index)


def localise(mesh: Any, tree: Tree) -> Tree:
    """Turn every mapping from tags to numbers in a tree, such as a material, into values by tag."""
    kinds = (Mapping, Input, FieldCoefficient, QuadratureField, Profile, Law, Vector)
    return jax.tree.map(lambda node: coefficient(mesh, node), tree, is_leaf=lambda node: isinstance(node, kinds))


def coefficient(mesh: Any, value: Any) -> Any:
    """Accept a mapping from tags to numbers where one number is expected; leave all else as it is."""
    return by_tag(mesh, value) if isinstance(value, Mapping) else value


def evaluate(value: Any, u: Any, point: Point) -> Array:
    """The number that a coefficient has at one quadrature point, where the field is ``u``.

    On several fields ``u`` is a dictionary of jets, and a `Law` is given a dictionary of their values.
    """
    if isinstance(value, Law):
        state = u.value if isinstance(u, Jet) else {name: jet.value for name, jet in u.items()}
        return jnp.asarray(value.function(state, point.x, *value.parameters))
    if isinstance(value, Profile):
        return jnp.asarray(value.function(point.x, *value.parameters))
    if isinstance(value, PerCell | PerPoint):
        return value.values
    if isinstance(value, Chosen):
        first, *others = (evaluate(each, *value.asked(k, u, point)) for k, each in enumerate(value.values))
        for number, other in enumerate(others, 1):
            first = jnp.where(value.index.values == number, other, first)
        return first
    if isinstance(value, Vector):
        return jnp.stack([evaluate(entry, u, point) for entry in value.entries])
    return jnp.asarray(value)


def resolve(tree: Tree, u: Jet, point: Point) -> Tree:
    """Replace every coefficient in a tree, such as a material or a state, by its value at one quadrature point."""

    def at(node: Any) -> Any:
        if isinstance(node, PerCell | PerPoint):
            return node.values
        return evaluate(node, u, point) if isinstance(node, kinds) else node

    kinds = (Law, Profile, PerCell, PerPoint, Chosen, Vector)
    return jax.tree.map(at, tree, is_leaf=lambda node: isinstance(node, kinds))


@dataclass(frozen=True)
class _Times:
    """A function of a law with one parameter more before the others, by which it is multiplied."""

    function: Callable[..., Any]
    before: int

    def __call__(self, *arguments: Any) -> Any:
        own, factor, rest = arguments[: self.before], arguments[self.before], arguments[self.before + 1 :]
        return factor * self.function(*own, *rest)


def multiplied(law: Law | Profile, factor: Any) -> Law | Profile:
    """A law times a number, parameter or input."""
    before = 2 if isinstance(law, Law) else 1
    return type(law)(_Times(law.function, before), (factor, *law.parameters))


def without_factors(law: Law) -> Law:
    """A law without what `multiplied` has put before it."""
    while isinstance(law.function, _Times):
        law = Law(law.function.function, law.parameters[1:])
    return law


def settle(tree: Tree, state: Mapping[str, Any]) -> Tree:
    """Replace every `Law` in ``tree`` by its number, given a state without places, numbers by name."""

    def at(node: Any) -> Any:
        return jnp.asarray(node.function(state, None, *node.parameters)) if isinstance(node, Law) else node

    return jax.tree.map(at, tree, is_leaf=lambda node: isinstance(node, Law))


def drive(tree: Tree, signals: Mapping[str, Any]) -> Tree:
    """Replace every `Input` in ``tree`` by its number, given the signals' values at one time."""
    return replace_inputs(tree, lambda node: node.at(signals))


def replace_inputs(tree: Tree, number: Callable[[Input], Any]) -> Tree:
    """Replace every `Input` in ``tree`` by a number."""

    def resolve(node: Any) -> Any:
        return number(node) if isinstance(node, Input) else node

    return jax.tree.map(resolve, tree, is_leaf=lambda node: isinstance(node, Input))


def undriven(tree: Tree) -> Tree:
    """The same model with every input at zero."""
    return drive(tree, dict.fromkeys(inputs_of(tree), 0.0))


def inputs_of(tree: Any) -> tuple[str, ...]:
    """The sorted names of the inputs that a model takes."""
    return tuple(sorted({name for node in input_nodes(tree) for name in node.names}))


def input_nodes(tree: Any) -> list[Input]:
    """Every `Input` in a tree, in the order in which `replace_inputs` comes to them."""
    nodes = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Input))
    return [node for node in nodes if isinstance(node, Input)]


def is_constant(values: Sequence[Any] | Any) -> bool:
    """True where no coefficient in a tree depends on the state."""
    nodes = jax.tree.leaves(values, is_leaf=lambda node: isinstance(node, Law))
    return not any(isinstance(node, Law) for node in nodes)


def require_no_nan(what: str, values: Any) -> None:
    """Raise `ValueError` where known values of a field are NaN, infinite, text or nothing.

    Arrays have one row a node. Traced values and placeholders pass; in lists all entries must be numbers.
    """
    if isinstance(values, str) or values is None:
        given = "nothing" if values is None else f"the text '{values}'"
        raise ValueError(f"{what} must be numbers, not {given}.")
    if isinstance(values, list | tuple):
        for entry in values:
            if not isinstance(entry, _NUMBERS | list | tuple | str):
                raise ValueError(f"{what} is a list, which must hold numbers, not {type(entry).__name__}.")
            require_no_nan(what, entry)
        return
    if not isinstance(values, _NUMBERS) or isinstance(values, Tracer):
        return
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.inexact) or not array.size:
        return
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)) if array.ndim else []
    if len(bad) or (array.ndim == 0 and not np.isfinite(array)):
        where = f" in {len(bad)} of {len(array)} rows, the first of them number {bad[0]}" if len(bad) else ""
        raise ValueError(f"{what} is not finite{where}.")


_NUMBERS = int | float | np.generic | np.ndarray | jax.Array
