r"""From equations between unknowns to dependent unknowns in terms of free ones, by Gaussian elimination on the host.

Source: Abel and Shephard, *An algorithm for multipoint constraints in finite element analysis*, Int. J. Numer.
Methods Eng. 14, 1979.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from gemel.engine.constraints.condition import Equations, is_known

_SMALL = 1e-10
"""Coefficients this small, relative to the largest of their equation, are rounding errors of zero."""

Row = tuple[dict[int, float], dict[int, float]]
"""Coefficients of unknowns and of constants."""


class Dependence(NamedTuple):
    r"""The result: $u_t = \sum w\,v$ for the ``tied`` unknowns $t$, with $v$ the vector $(u, c)$.

    Entry $k$ adds ``weights[k]`` $v$[``columns[k]``] to ``tied[rows[k]]``; rows ascend. No column is a tied
    unknown. Where ``sources[k]`` is not negative the weight is that number of the traced weights.
    """

    tied: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    sources: np.ndarray


class _Table(NamedTuple):
    """All equations in one: the unknown of each, the number of its constant (or -1), and entries sorted by equation."""

    dependent: np.ndarray
    constant: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    sources: np.ndarray


def eliminate(n_dofs: int, prescribed: np.ndarray, ties: Sequence[Equations]) -> Dependence:
    """Solve the equations for dependent unknowns.

    An unknown that is prescribed keeps its value: its equation then determines another unknown, and one
    between prescribed unknowns alone is left out. So is an equation that follows from the others.

    Args:
        n_dofs: length of the flat vector.
        prescribed: ``(n_dofs,)``, true where Dirichlet conditions hold.
        ties: the equations; the numbers of constants count through those that have them.

    Raises:
        ValueError: for ties that lead back to themselves or contradict one another, with the tag and the node;
            for traced weights in equations that meet others.
    """
    table = _flatten(ties)
    simple = _simple(table, n_dofs, prescribed)
    definitions = _solve_rest(table, np.flatnonzero(~simple), prescribed, ties)
    resolved: dict[int, Row] = {}
    for unknown in reversed(definitions):
        resolved[unknown] = _substituted(definitions[unknown], resolved)
    special = np.fromiter(resolved, int, len(resolved))
    meets = np.zeros(len(table.dependent), dtype=bool)
    meets[table.rows[np.isin(table.columns, special)]] = True
    for e in map(int, np.flatnonzero(simple & meets)):
        resolved[int(table.dependent[e])] = _substituted(_row_of(table, e, ties), resolved)
    return _collect(table, np.flatnonzero(simple & ~meets), resolved, n_dofs)


def _flatten(ties: Sequence[Equations]) -> _Table:
    parts, constants, n_rows, n_traced, n_constants = [], [], 0, 0, 0
    for tie in ties:
        n, k = tie.masters.shape
        rows, columns = np.repeat(n_rows + np.arange(n), k), tie.masters.ravel()
        if is_known(tie.weights):
            weights = np.asarray(tie.weights, float)
            large = np.abs(weights).max(axis=1, keepdims=True, initial=0.0)
            keep = (np.abs(weights) > _SMALL * large).ravel()
            rows, columns, weights = rows[keep], columns[keep], weights.ravel()[keep]
            sources = np.full(len(rows), -1)
        else:
            weights, sources = np.full(n * k, np.nan), n_traced + np.arange(n * k)
            n_traced += n * k
        parts.append((rows, columns, weights, sources))
        constants.append(np.full(n, -1) if tie.offset is None else n_constants + np.arange(n))
        n_constants += 0 if tie.offset is None else n
        n_rows += n
    entries = [np.concatenate(part) for part in zip(*parts, strict=True)]
    dependent = np.concatenate([tie.dependent for tie in ties])
    return _Table(dependent, np.concatenate(constants), *entries)


def _simple(table: _Table, n_dofs: int, prescribed: np.ndarray) -> np.ndarray:
    """The equations whose unknown occurs in no other one, is not prescribed, and whose masters depend on nothing."""
    count = np.bincount(table.dependent, minlength=n_dofs)
    master = np.zeros(n_dofs, dtype=bool)
    master[table.columns] = True
    good = (count[table.dependent] == 1) & ~master[table.dependent] & ~prescribed[table.dependent]
    good[table.rows[count[table.columns] > 0]] = False
    twice = np.zeros(len(table.dependent), dtype=bool)
    order = np.lexsort((table.columns, table.rows))
    rows, columns = table.rows[order], table.columns[order]
    twice[rows[1:][(np.diff(rows) == 0) & (np.diff(columns) == 0)]] = True
    return good & ~twice


def _row_of(table: _Table, e: int, ties: Sequence[Equations]) -> Row:
    """Equation ``e`` as a definition of its unknown."""
    start, end = np.searchsorted(table.rows, [e, e + 1])
    if np.any(table.sources[start:end] >= 0):
        who, node = _name(e, ties)
        raise ValueError(
            f"{who} meets other conditions at node {node}, which needs known coordinates: build it outside of jit, "
            "grad and vmap."
        )
    coefficients: dict[int, float] = {}
    for column, weight in zip(table.columns[start:end], table.weights[start:end], strict=True):
        coefficients[int(column)] = coefficients.get(int(column), 0.0) + float(weight)
    return coefficients, ({} if table.constant[e] < 0 else {int(table.constant[e]): 1.0})


def _substituted(row: Row, definitions: dict[int, Row]) -> Row:
    """The row without the unknowns that are defined."""
    coefficients, constants = dict(row[0]), dict(row[1])
    pending = [unknown for unknown in coefficients if unknown in definitions]
    while pending:
        unknown = pending.pop()
        factor = coefficients.pop(unknown, 0.0)
        if factor == 0.0:
            continue
        others, theirs = definitions[unknown]
        for column, weight in others.items():
            coefficients[column] = coefficients.get(column, 0.0) + factor * weight
            if column in definitions:
                pending.append(column)
        for constant, weight in theirs.items():
            constants[constant] = constants.get(constant, 0.0) + factor * weight
    return coefficients, constants


def _solve_rest(
    table: _Table, equations: np.ndarray, prescribed: np.ndarray, ties: Sequence[Equations]
) -> dict[int, Row]:
    """Gaussian elimination of the equations that meet one another or prescribed values, in order."""
    definitions: dict[int, Row] = {}
    known = _known_constants(ties) if len(equations) else np.zeros(0)
    for e in map(int, equations):
        unknown = int(table.dependent[e])
        left = unknown not in definitions and not prescribed[unknown]
        coefficients, constants = _substituted(_row_of(table, e, ties), definitions)
        own, theirs = _substituted(({unknown: 1.0}, {}), definitions)
        balance = {column: -weight for column, weight in own.items()}
        for column, weight in coefficients.items():
            balance[column] = balance.get(column, 0.0) + weight
        for constant, weight in theirs.items():
            constants[constant] = constants.get(constant, 0.0) - weight
        scale = max((abs(weight) for weight in (*own.values(), *coefficients.values())), default=1.0)
        balance = {column: weight for column, weight in balance.items() if abs(weight) > _SMALL * scale}
        redundant = _equations_of(e, ties)[0].redundant
        if left and not redundant and abs(balance.get(unknown, 0.0) + 1.0) > _SMALL:
            who, node = _name(e, ties)
            raise ValueError(f"{who} leads back to itself at node {node}: no node can depend on itself.")
        free = {column: weight for column, weight in balance.items() if not prescribed[column]}
        if not balance:
            _check_constants(constants, known, e, ties)
        if not free:
            continue
        pivot = unknown if unknown in free else max(free, key=lambda column: abs(free[column]))
        factor = -1.0 / balance.pop(pivot)
        definitions[pivot] = (
            {column: factor * weight for column, weight in balance.items()},
            {constant: factor * weight for constant, weight in constants.items() if weight},
        )
    return definitions


def _known_constants(ties: Sequence[Equations]) -> np.ndarray:
    """The values of all constants, NaN for those that hold parameters or traced numbers."""
    values = [np.zeros(0)]
    for tie in ties:
        if tie.offset is None:
            continue
        if is_known(tie.offset):
            with jax.ensure_compile_time_eval():
                values.append(np.asarray(tie.offset()))
        else:
            values.append(np.full(len(tie.dependent), np.nan))
    return np.concatenate(values)


def _check_constants(constants: dict[int, float], values: np.ndarray, e: int, ties: Sequence[Equations]) -> None:
    """Raise `ValueError` where an equation reads 0 = c with a known c that is not zero."""
    constants = {constant: weight for constant, weight in constants.items() if weight}
    if not constants:
        return
    terms = [weight * float(values[constant]) for constant, weight in constants.items()]
    if abs(sum(terms)) > 1e-8 * max(map(abs, terms)):
        who, node = _name(e, ties)
        raise ValueError(f"{who} contradicts the other ties at node {node}: they differ by {abs(sum(terms)):.6g}.")


def _equations_of(e: int, ties: Sequence[Equations]) -> tuple[Equations, int]:
    """The tie that equation ``e`` belongs to, and its number there."""
    for tie in ties:
        if e < len(tie.dependent):
            return tie, e
        e -= len(tie.dependent)
    raise AssertionError("no such equation")


def _name(e: int, ties: Sequence[Equations]) -> tuple[str, int]:
    tie, own = _equations_of(e, ties)
    return tie.who, int(tie.nodes[own])


def _collect(table: _Table, simple: np.ndarray, resolved: dict[int, Row], n_dofs: int) -> Dependence:
    """Put the simple equations and the resolved rows together; constants become columns past the unknowns."""
    kept = np.isin(table.rows, simple)
    with_constant = simple[table.constant[simple] >= 0]
    owners = [table.dependent[table.rows[kept]], table.dependent[with_constant]]
    columns = [table.columns[kept], n_dofs + table.constant[with_constant]]
    weights = [table.weights[kept], np.ones(len(with_constant))]
    sources = [table.sources[kept], np.full(len(with_constant), -1)]
    for unknown, (coefficients, constants) in resolved.items():
        count = len(coefficients) + len(constants)
        owners.append(np.full(count, unknown))
        columns.append(np.array([*coefficients, *(n_dofs + constant for constant in constants)], dtype=int))
        weights.append(np.array([*coefficients.values(), *constants.values()], dtype=float))
        sources.append(np.full(count, -1))
    special = np.fromiter(resolved, int, len(resolved))
    tied = np.unique(np.concatenate([table.dependent[simple], special]))
    rows = np.searchsorted(tied, np.concatenate(owners))
    order = np.argsort(rows, kind="stable")
    joined = (np.concatenate(part)[order] for part in (columns, weights, sources))
    return Dependence(tied, rows[order], *joined)
