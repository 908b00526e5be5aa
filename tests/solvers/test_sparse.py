"""Operators and sparse products: values, derivatives, batching, and the structure of the compiled module."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from gemel.solvers import (
    ConstrainedOperator,
    DenseOperator,
    DiagonalOperator,
    FunctionOperator,
    LinearOperator,
    SparseOperator,
    SparsityPattern,
    SumOperator,
    TransposedOperator,
    dense_matrix,
    linear_combination,
)

N = 40


def ragged_matrix() -> sp.csr_array:
    """An unsymmetric matrix whose rows hold from 1 to N entries, so that several buckets are used."""
    rng = np.random.default_rng(0)
    matrix = (rng.random((N, N)) < 0.12) * rng.standard_normal((N, N)) + 4 * np.eye(N)
    matrix[3] = rng.standard_normal(N)
    matrix[7] = 0.0
    matrix[7, 2] = 1.0
    return sp.csr_array(matrix)


def operators() -> list[LinearOperator]:
    rng = np.random.default_rng(1)
    sparse = SparseOperator.from_scipy(ragged_matrix())
    dense = jnp.asarray(rng.standard_normal((N, N)))
    diagonal = DiagonalOperator(jnp.asarray(rng.random(N)))
    free = jnp.asarray(rng.random(N) > 0.3)
    return [
        sparse,
        sparse.transpose(),
        diagonal,
        DenseOperator(dense, False),
        FunctionOperator(lambda a, x: a @ jnp.cumsum(x), N, False, dense),
        SumOperator(2.0, sparse, -0.5, diagonal),
        ConstrainedOperator(sparse, free, 3.0),
        TransposedOperator(sparse),
        sparse.scaled(2.0),
    ]


@pytest.mark.parametrize("operator", operators(), ids=lambda o: type(o).__name__)
def test_operator_conformance(operator: LinearOperator):
    x = jnp.asarray(np.random.default_rng(2).standard_normal(N))
    matrix = operator.to_scipy().toarray()
    np.testing.assert_allclose(dense_matrix(operator), matrix, atol=1e-13)
    np.testing.assert_allclose(operator.mv(x), matrix @ x, atol=1e-12)
    np.testing.assert_allclose(operator.rmv(x), matrix.T @ x, atol=1e-12)
    np.testing.assert_allclose(operator.transpose().mv(x), matrix.T @ x, atol=1e-12)
    np.testing.assert_allclose(operator.transpose().rmv(x), matrix @ x, atol=1e-12)
    np.testing.assert_allclose(operator.diagonal(), matrix.diagonal(), atol=1e-13)
    np.testing.assert_allclose(operator.transpose().to_scipy().toarray(), matrix.T, atol=1e-13)
    assert operator.n == N


def test_constrained_operator_decouples_fixed_unknowns():
    free = np.arange(N) % 3 != 0
    matrix = ConstrainedOperator(SparseOperator.from_scipy(ragged_matrix()), jnp.asarray(free)).to_scipy().toarray()
    np.testing.assert_allclose(matrix[~free][:, ~free], np.eye(np.sum(~free)))
    assert not np.any(matrix[free][:, ~free])
    assert not np.any(matrix[~free][:, free])


def test_csr_values_round_trip_and_linear_combination():
    matrix = ragged_matrix()
    operator = SparseOperator.from_scipy(matrix)
    np.testing.assert_array_equal(operator.csr_values(), matrix.data)
    other = operator.pattern.operator(jnp.cos(operator.csr_values()))
    both = linear_combination(2.0, operator, 3.0, other)
    assert isinstance(both, SparseOperator)
    np.testing.assert_allclose(both.csr_values(), 2 * matrix.data + 3 * np.cos(matrix.data))
    mixed = linear_combination(2.0, operator, 3.0, DiagonalOperator(jnp.ones(N)))
    np.testing.assert_allclose(mixed.to_scipy().toarray(), 2 * matrix.toarray() + 3 * np.eye(N))


def reference_and_padded():
    """A scalar function through two products, with a dense matrix and with padded rows."""
    matrix = ragged_matrix()
    operator = SparseOperator.from_scipy(matrix)
    rows = np.repeat(np.arange(N), np.diff(matrix.indptr))

    def padded(v, x):
        a = operator.pattern.operator(v)
        return jnp.sum(jnp.sin(a.rmv(a.mv(a.mv(x)) / 10)))

    def dense(v, x):
        a = jnp.zeros((N, N)).at[rows, matrix.indices].set(v)
        return jnp.sum(jnp.sin(a.T @ ((a @ (a @ x)) / 10)))

    x = jnp.asarray(np.random.default_rng(3).standard_normal(N))
    return padded, dense, operator.csr_values(), x


@pytest.mark.parametrize("argument", [0, 1])
def test_derivatives_match_dense(argument: int):
    padded, dense, v, x = reference_and_padded()
    expected = jax.grad(dense, argument)(v, x)
    np.testing.assert_allclose(jax.jit(jax.grad(padded, argument))(v, x), expected, atol=1e-10)
    direction = jax.tree.map(jnp.cos, (v, x))
    zero = jax.tree.map(jnp.zeros_like, direction)
    tangent = tuple(d if i == argument else z for i, (d, z) in enumerate(zip(direction, zero, strict=True)))
    forward = jax.jvp(padded, (v, x), tangent)[1]
    np.testing.assert_allclose(forward, jnp.vdot(expected, tangent[argument]), rtol=1e-10)

    def twice(f):
        return jax.jvp(lambda *a: jax.grad(f, argument)(*a), (v, x), direction)[1]

    np.testing.assert_allclose(twice(padded), twice(dense), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_vmap_inside_and_outside_grad(axes: tuple):
    padded, dense, v, x = reference_and_padded()
    many_v = jnp.stack([v, 2 * v, v + 1]) if axes[0] == 0 else v
    many_x = jnp.stack([x, x * x, x - 1]) if axes[1] == 0 else x
    for argument in (0, 1):
        outside = [jax.vmap(jax.grad(f, argument), axes)(many_v, many_x) for f in (padded, dense)]
        np.testing.assert_allclose(*outside, atol=1e-9)
        inside = [
            jax.grad(lambda a, b, f=f: jnp.sum(jax.vmap(f, axes)(a, b)), argument)(many_v, many_x)
            for f in (padded, dense)
        ]
        np.testing.assert_allclose(*inside, atol=1e-9)


def test_nested_vmap():
    padded, dense, v, x = reference_and_padded()
    many_v, many_x = jnp.stack([v, 2 * v]), jnp.stack([x, x * x, x - 1])
    table = [jax.vmap(lambda a, f=f: jax.vmap(lambda b: f(a, b))(many_x))(many_v) for f in (padded, dense)]
    np.testing.assert_allclose(*table, atol=1e-10)


def scattered_matrix(side: int) -> sp.csr_array:
    """An unsymmetric matrix on a symmetric pattern: a grid of nodes in no order, one of which meets 40 others."""
    rng = np.random.default_rng(4)
    line = sp.csr_array(np.eye(side, k=-1) + 2 * np.eye(side) + np.eye(side, k=1))
    star = (np.full(40, 5), np.arange(100, 140))
    around = sp.csr_array((np.ones(40), star), shape=(side**2, side**2))
    grid = sp.csr_array(sp.kron(line, line) + around + around.T)
    order = rng.permutation(side**2)
    matrix = sp.csr_array(sp.csr_array(grid[order])[:, order])
    matrix.sort_indices()
    return sp.csr_array((rng.standard_normal(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)


@pytest.mark.slow
def test_scattered_unknowns_are_taken_in_another_order():
    matrix = scattered_matrix(132)
    n = len(matrix.indptr) - 1
    rows = np.repeat(np.arange(n), np.diff(matrix.indptr))
    operator = SparseOperator.from_scipy(matrix)
    near = operator.pattern.forward.near
    assert near is not None
    rank = np.argsort(np.asarray(near))
    assert np.abs(rank[matrix.indices] - rank[rows]).mean() < n / 50
    rng = np.random.default_rng(5)
    x, free = jnp.asarray(rng.standard_normal(n)), rng.random(n) > 0.2
    np.testing.assert_allclose(operator.mv(x), matrix @ x, atol=1e-12)
    np.testing.assert_allclose(operator.transpose().mv(x), matrix.T @ x, atol=1e-12)
    many = jnp.stack([x, jnp.cos(x), x**2])
    np.testing.assert_allclose(jax.vmap(operator.mv)(many), (matrix @ np.asarray(many).T).T, atol=1e-12)
    np.testing.assert_array_equal(operator.diagonal(), matrix.diagonal())
    np.testing.assert_array_equal(operator.csr_values(), matrix.data)
    assert abs(operator.to_scipy() - matrix).max() == 0
    kept = sp.diags_array(free.astype(float))
    expected = kept @ matrix @ kept + sp.diags_array(3.0 * ~free)
    assert abs(operator.restricted(jnp.asarray(free), 3.0).to_scipy() - expected).max() == 0

    def functional(v, x):
        return jnp.sum(jnp.sin(operator.pattern.operator(v).mv(x)))

    slope = np.cos(matrix @ x)
    by_value, by_vector = jax.grad(functional, (0, 1))(operator.csr_values(), x)
    np.testing.assert_allclose(by_value, slope[rows] * x[matrix.indices], atol=1e-12)
    np.testing.assert_allclose(by_vector, matrix.T @ slope, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("width", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_nodes_of_several_unknowns_are_stored_in_blocks(width: int):
    """The same matrix by node and by unknown, in no order and ragged: products, derivatives, restriction, transpose."""
    grid = scattered_matrix(132)
    rng = np.random.default_rng(6)
    blocks = sp.bsr_array((rng.standard_normal((grid.nnz, width, width)), grid.indices, grid.indptr))
    matrix = sp.csr_array(blocks.tocsr())
    n = len(matrix.indptr) - 1
    pattern = SparsityPattern.build(grid.indptr, grid.indices, width)
    assert (pattern.n, pattern.nnz) == (n, matrix.nnz)
    assert pattern.forward.near is not None
    operator = pattern.operator(jnp.asarray(blocks.data))
    rows, columns, places = pattern.entries()
    stored = np.concatenate(
        [np.moveaxis(np.asarray(v), 3, 1).reshape(width, width, -1) for v in operator.values], axis=2
    )
    assert abs(sp.csr_array((stored.ravel()[places], (rows, columns))) - matrix).max() == 0
    x, free = jnp.asarray(rng.standard_normal(n)), rng.random(n) > 0.2
    np.testing.assert_allclose(operator.mv(x), matrix @ x, atol=1e-12)
    np.testing.assert_allclose(operator.rmv(x), matrix.T @ x, atol=1e-12)
    np.testing.assert_allclose(operator.transpose().transpose().mv(x), matrix @ x, atol=1e-12)
    many = jnp.stack([x, jnp.cos(x), x**2])
    np.testing.assert_allclose(jax.vmap(operator.mv)(many), (matrix @ np.asarray(many).T).T, atol=1e-12)
    np.testing.assert_array_equal(operator.diagonal(), matrix.diagonal())
    np.testing.assert_array_equal(operator.csr_values(), blocks.data)
    assert abs(operator.to_scipy() - matrix).max() == 0
    assert abs(operator.to_blocks() - matrix).max() == 0
    assert abs(operator.transpose().to_scipy() - matrix.T).max() == 0
    kept = sp.diags_array(free.astype(float))
    expected = kept @ matrix @ kept + sp.diags_array(3.0 * ~free)
    assert abs(operator.restricted(jnp.asarray(free), 3.0).to_scipy() - expected).max() == 0

    def functional(v, x):
        a = pattern.operator(v)
        return jnp.sum(jnp.sin(a.mv(x))) + jnp.sum(a.rmv(x) ** 2)

    slope, back = np.cos(matrix @ x), 2 * (matrix.T @ x)
    by_value, by_vector = jax.grad(functional, (0, 1))(operator.csr_values(), x)
    heads, tails = np.repeat(np.arange(len(grid.indptr) - 1), np.diff(grid.indptr)), grid.indices
    left, right = (v.reshape(-1, width) for v in (slope, np.asarray(x)))
    expected = left[heads][:, :, None] * right[tails][:, None]
    left, right = (v.reshape(-1, width) for v in (np.asarray(x), back))
    np.testing.assert_allclose(by_value, expected + left[heads][:, :, None] * right[tails][:, None], atol=1e-11)
    np.testing.assert_allclose(by_vector, matrix.T @ slope + matrix @ back, atol=1e-11)


@pytest.mark.parametrize("width", [1, 3])
def test_products_without_loops_are_the_same(width: int):
    """A GPU is given them as one sum; rows of several lengths lie in several buckets."""
    rng = np.random.default_rng(0)
    long = sp.random_array((300, 300), density=0.2, rng=rng) * (rng.random((300, 1)) < 0.3)
    graph = sp.csr_array(long + sp.eye_array(300))
    pattern = SparsityPattern.build(graph.indptr, graph.indices, width)
    shape = (graph.nnz, width, width) if width > 1 else (graph.nnz,)
    operator = pattern.operator(jnp.asarray(rng.standard_normal(shape)))
    structure, x = pattern.structure(False), jnp.asarray(rng.standard_normal((2, operator.n)))
    assert width == 1 or len(operator.values) > 1
    np.testing.assert_allclose(structure.apply(operator.values, x[0], at_once=True), operator.mv(x[0]), atol=1e-11)
    both = structure.apply_columns(operator.values, x, at_once=True)
    np.testing.assert_allclose(both, jax.vmap(operator.mv)(x), atol=1e-11)


@pytest.mark.parametrize("missing", [None, "above", "below"])
def test_a_symmetric_pattern_is_its_own_transpose_and_another_is_not(missing: str | None):
    """Rows enough for two threads; with ``missing``, one entry has no mirror image."""
    n, rng = 9000, np.random.default_rng(0)
    some = sp.coo_array((np.ones(30000), (rng.integers(0, n, 30000), rng.integers(0, n, 30000))), (n, n))
    pattern = sp.csr_array(some + some.T)
    pattern.sum_duplicates()
    row = np.repeat(np.arange(n), np.diff(pattern.indptr))
    beside = np.flatnonzero(row < pattern.indices if missing == "above" else row > pattern.indices)
    keep = np.ones(pattern.nnz, bool)
    if missing:
        keep[beside[len(beside) // 2]] = False
    values = rng.standard_normal(pattern.nnz)[keep]
    matrix = sp.csr_array(sp.coo_array((values, (row[keep], pattern.indices[keep])), (n, n)))
    operator = SparseOperator.from_scipy(matrix)
    assert (operator.pattern.backward is operator.pattern.forward) == (missing is None)
    x = jnp.asarray(rng.standard_normal(n))
    assert operator.mv(x) == pytest.approx(matrix @ np.asarray(x), abs=1e-12)
    assert operator.transpose().mv(x) == pytest.approx(matrix.T @ np.asarray(x), abs=1e-12)


def test_bad_patterns_are_refused():
    with pytest.raises(ValueError, match="Row 0 of the pattern is not sorted"):
        SparsityPattern.build(np.array([0, 2, 3]), np.array([1, 0, 1]))
    with pytest.raises(ValueError, match="must rise from 0 to the number of column indices, 3"):
        SparsityPattern.build(np.array([0, 2, 4]), np.array([0, 1, 0]))
    with pytest.raises(ValueError, match="allowed are 0 to 1"):
        SparsityPattern.build(np.array([0, 1, 2]), np.array([0, 2]))
    with pytest.raises(ValueError, match="not square"):
        SparseOperator.from_scipy(sp.csr_array(np.ones((2, 3))))
    pattern = SparseOperator.from_scipy(sp.csr_array(np.eye(3))).pattern
    with pytest.raises(ValueError, match=r"needs \(3,\)"):
        pattern.operator(jnp.ones(4))
    with pytest.raises(ValueError, match=r"needs \(3, 2, 2\)"):
        SparsityPattern.build(np.arange(4), np.arange(3), 2).operator(jnp.ones(12))


def gathers(text: str | None) -> tuple[int, int]:
    """Count the gathers of a compiled module, and those that read from another gather of their own fusion."""
    assert text is not None
    total = chained = 0
    for block in re.split(r"\n(?=%|ENTRY)", text):
        if block.startswith("ENTRY"):
            continue
        line = r"(%[\w.\-]+) = \S+ ([\w\-]+)\((.*?)\)"
        made = {m[1]: (m[2], re.findall(r"%[\w.\-]+", m[3])) for m in re.finditer(line, block)}

        def behind(name, made=made):
            kind, sources = made.get(name, ("", []))
            return kind == "gather" or any(behind(s) for s in sources)

        sources = [operands[0] for kind, operands in made.values() if kind == "gather"]
        total += len(sources)
        chained += sum(behind(source) for source in sources)
    return total, chained


def test_the_gather_check_sees_a_chain():
    chained = """
%fused (p0: f64[8], p1: s32[8,1]) -> f64[8] {
  %p0 = f64[8]{0} parameter(0)
  %p1 = s32[8,1]{1,0} parameter(1)
  %g1 = f64[8]{0} gather(%p0, %p1), offset_dims={}
  %sum = f64[8]{0} add(%g1, %g1)
  ROOT %g2 = f64[8]{0} gather(%sum, %p1), offset_dims={}
}"""
    assert gathers(chained) == (2, 1)


@pytest.mark.parametrize("constant", [False, True])
def test_chained_products_are_not_fused_into_each_other(constant: bool):
    line = sp.csr_array(4 * np.eye(9) + np.eye(9, k=1) + np.eye(9, k=-1))
    operator = SparseOperator.from_scipy(sp.kron(line, sp.kron(line, line)), symmetric=True)
    x = jnp.ones(operator.n)

    def chain(a, x, count):
        for _ in range(count):
            x = 0.01 * a.mv(x)
        return x

    counts = {}
    for count in (1, 5):
        if constant:
            function, arguments = (lambda y, c=count: chain(operator, y, c)), (x,)
        else:
            function, arguments = (lambda a, y, c=count: chain(a, y, c)), (operator, x)
        text = jax.jit(function).lower(*arguments).compile().as_text()
        counts[count], chained = gathers(text)
        assert chained == 0
    assert 0 < counts[5] <= 5 * counts[1]


@pytest.mark.parametrize("width", [1, 3])
def test_a_product_copies_nothing_large(width: int):
    """XLA on CPU copied all values before every product where their array had an axis of length one."""
    line = sp.csr_array(np.eye(9) + np.eye(9, k=1) + np.eye(9, k=-1))
    grid = sp.csr_array(sp.kron(line, sp.kron(line, line)))
    grid.sort_indices()
    pattern = SparsityPattern.build(grid.indptr, grid.indices, width)
    operator = pattern.operator(jnp.ones((grid.nnz, width, width) if width > 1 else grid.nnz))
    text = jax.jit(lambda a, x: a.mv(x)).lower(operator, jnp.ones(operator.n)).compile().as_text()
    assert text is not None
    copied = [np.prod([int(n) for n in m[1].split(",") if n]) for m in re.finditer(r"\w+\[([\d,]*)\]\S* copy\(", text)]
    assert copied or jax.default_backend() != "cpu"
    assert max(copied, default=0) < operator.values[-1].size / 2
