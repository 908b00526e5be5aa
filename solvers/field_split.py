"""Block preconditioners for systems of several fields: saddle points, coupled physics."""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.blocks import Blocks, Coupling
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.operators import LinearOperator
from gemel.solvers.placing import known
from gemel.solvers.sparse import SparseOperator


class SplitState(eqx.Module):
    """The state of `FieldSplit`: where the blocks are, the state of each field's preconditioner, and the couplings
    that are used.
    """

    blocks: Blocks
    parts: tuple[Any, ...]
    couplings: dict[tuple[int, int], Coupling]


class FieldSplit(Preconditioner):
    r"""A preconditioner made of one for each field, for a `SparseOperator` whose unknowns are one field after another.

    - ``"diagonal"``: $M^{-1} = \mathrm{diag}(S_1^{-1}, \dots, S_k^{-1})$, positive definite where the parts are: for
      `MINRES`.
    - ``"lower"``, ``"upper"``: block Gauss-Seidel forward or backward, $z_i = S_i^{-1}(r_i - \sum_j A_{ij} z_j)$ over
      the fields $j$ before (after) $i$: for `GMRES`.

    $S_i$ is the block $A_{ii}$, or what ``operators`` says where that is not None. For a saddle point
    $\begin{pmatrix} A & B^\top \\ B & 0 \end{pmatrix}$ the second one replaces the Schur complement $-B A^{-1} B^\top$,
    for Stokes' equations by the pressure mass matrix over the viscosity: itself in ``"diagonal"``, where it must be
    positive, minus it in ``"lower"`` and ``"upper"``.

    Args:
        sizes: unknowns of each field; on a `MixedSpace` those of its parts.
        preconditioners: one a field, for $S_i$. Rigid-body modes and the like are those of the field alone.
        form: as above.
        operators: $S_i$ for each field, or None for the block itself; all None by default.

    Raises:
        ValueError: for numbers of fields that disagree, another form; `init` for another kind of operator, unknowns
            that do not add up, and inside jit, where nothing can be set up on the host.

    Source: Benzi, Golub, Liesen, *Numerical solution of saddle point problems*, Acta Numerica 14 (2005), section 10;
    Stokes: Silvester, Wathen, *Fast iterative solution of stabilised Stokes systems II*, SIAM J. Numer. Anal. 31
    (1994).
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    preconditioners: tuple[Preconditioner, ...]
    form: Literal["diagonal", "lower", "upper"] = eqx.field(static=True, default="diagonal")
    operators: tuple[LinearOperator | None, ...] | None = None

    def __check_init__(self):
        count = len(self.sizes)
        if self.form not in ("diagonal", "lower", "upper"):
            raise ValueError(f"FieldSplit form {self.form!r}: use 'diagonal', 'lower' or 'upper'.")
        if len(self.preconditioners) != count or len(self._operators()) != count:
            raise ValueError(
                f"FieldSplit has {count} fields, {len(self.preconditioners)} preconditioners and "
                f"{len(self._operators())} operators: there must be one for each field."
            )
        for size, operator in zip(self.sizes, self._operators(), strict=True):
            if operator is not None and operator.n != size:
                raise ValueError(f"FieldSplit has an operator of {operator.n} unknowns for a field of {size}.")

    def init(self, operator: LinearOperator) -> SplitState:
        """Find the blocks on the host and set the parts up."""
        if not isinstance(operator, SparseOperator):
            raise ValueError(f"FieldSplit takes a SparseOperator, not {type(operator).__name__}.")
        if not known(operator.pattern):
            raise ValueError(
                "FieldSplit finds its blocks on the host: call solver.init(operator) outside jit, and pass the state."
            )
        blocks = Blocks.of(operator.pattern, self.sizes)
        whole = self._whole(blocks, operator)
        parts = tuple(p.init(s) for p, s in zip(self.preconditioners, whole, strict=True))
        return SplitState(blocks, parts, self._couplings(blocks, operator))

    def update(self, state: SplitState, operator: LinearOperator) -> SplitState:
        """Gather the blocks from the new values and let the parts follow."""
        assert isinstance(operator, SparseOperator)
        whole = self._whole(state.blocks, operator)
        parts = (p.update(s, a) for p, s, a in zip(self.preconditioners, state.parts, whole, strict=True))
        return SplitState(state.blocks, tuple(parts), self._couplings(state.blocks, operator))

    def apply(self, state: SplitState, r: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the preconditioned vector."""
        given = state.blocks.split(r)
        count = len(self.sizes)
        results: list[Any] = [None] * count
        for i in reversed(range(count)) if self.form == "upper" else range(count):
            rest = given[i]
            for (row, column), coupling in state.couplings.items():
                if row == i and results[column] is not None:
                    rest = rest - coupling.mv(results[column])
            results[i] = self.preconditioners[i].apply(state.parts[i], rest)
        return jnp.concatenate(results)

    def _operators(self) -> tuple[LinearOperator | None, ...]:
        return (None,) * len(self.sizes) if self.operators is None else self.operators

    def _whole(self, blocks: Blocks, operator: SparseOperator) -> list[LinearOperator]:
        """S_i of every field."""
        return [blocks.diagonal(operator, i) if given is None else given for i, given in enumerate(self._operators())]

    def _couplings(self, blocks: Blocks, operator: SparseOperator) -> dict[tuple[int, int], Coupling]:
        """The couplings that the form uses."""
        used = {"diagonal": lambda i, j: False, "lower": lambda i, j: j < i, "upper": lambda i, j: j > i}[self.form]
        found = {key: blocks.coupling(operator, *key) for key in blocks.couplings if used(*key)}
        return {key: coupling for key, coupling in found.items() if coupling is not None}
