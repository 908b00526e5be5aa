"""Essential conditions on the unknowns of a problem, by lifting: prescribed values and ties."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.engine.assembly import MatrixLayout, RowLayout
from gemel.engine.constraints.condensation import Condensation, TreeSum
from gemel.engine.constraints.condition import Condition, Equations, Offset, Tie, is_known
from gemel.engine.constraints.dirichlet import Dirichlet, Prescribed
from gemel.engine.constraints.elimination import Dependence, eliminate
from gemel.engine.spaces import Space
from gemel.solvers.placing import on_device
from gemel.solvers.sparse import AssembledOperator


class Ties(eqx.Module):
    r"""The tied unknowns, $u_t = \sum w\,v$ with $v = (u, c)$: see `Dependence`."""

    unknowns: Int[Array, " tied"]
    columns: Int[Array, " entries"]
    constants: Float[Array, " entries"]
    sources: Int[Array, " entries"] | None
    traced: tuple[Array, ...]
    offsets: tuple[Offset, ...]
    gather: TreeSum
    masters: Int[Array, " masters"]
    chosen: Int[Array, " kept"]
    rows: Int[Array, " kept"]
    scatter: TreeSum

    @staticmethod
    def of(dependence: Dependence, free: np.ndarray, equations: Sequence[Equations]) -> "Ties":
        """Plan both directions of the map."""
        n, columns, rows = len(free), dependence.columns, dependence.rows
        chosen = np.flatnonzero((columns < n) & free[np.minimum(columns, n - 1)])
        masters, target = np.unique(columns[chosen], return_inverse=True)
        used = dependence.sources >= 0
        traced = tuple(jnp.ravel(tie.weights) for tie in equations if not is_known(tie.weights))
        return Ties(
            on_device(np.asarray(dependence.tied, np.int32)),
            on_device(np.asarray(columns, np.int32)),
            on_device(np.where(used, 0.0, dependence.weights)),
            on_device(np.asarray(dependence.sources, np.int32)) if np.any(used) else None,
            traced if np.any(used) else (),
            tuple(tie.offset for tie in equations if tie.offset is not None),
            TreeSum.plan(rows, len(dependence.tied)),
            on_device(np.asarray(masters, np.int32)),
            on_device(np.asarray(chosen, np.int32)),
            on_device(np.asarray(rows[chosen], np.int32)),
            TreeSum.plan(target, len(masters)),
        )

    def weights(self) -> Float[Array, " entries"]:
        """The weight of every entry."""
        if self.sources is None:
            return self.constants
        return jnp.where(self.sources >= 0, jnp.concatenate(self.traced)[self.sources], self.constants)

    def connections(self) -> tuple[np.ndarray, np.ndarray]:
        """Tied unknowns and free masters, one pair an entry; on the host."""
        columns = np.asarray(self.columns)[np.asarray(self.chosen)]
        return np.asarray(self.unknowns)[np.asarray(self.rows)], columns

    def offset_values(self, like: Array) -> Float[Array, " constants"]:
        """The constants of the equations."""
        return jnp.concatenate([jnp.zeros(0, like.dtype), *(offset().astype(like.dtype) for offset in self.offsets)])

    def follow(self, u: Float[Array, " n"], constants: Float[Array, " c"]) -> Float[Array, " n"]:
        """Set the tied unknowns to what their masters and the constants say."""
        known = jnp.concatenate([u, constants])
        return u.at[self.unknowns].set(self.gather(self.weights() * known[self.columns]), unique_indices=True)

    def gathered(self, r: Float[Array, " n"]) -> tuple[Array, Float[Array, " masters"]]:
        """The free masters, and what the residuals of their tied unknowns add to theirs."""
        from_tied = r[self.unknowns][self.rows] * self.weights()[self.chosen]
        return self.masters, self.scatter(from_tied)


class Constraint(eqx.Module):
    r"""The affine set of admissible functions, $u = T q + g$.

    Free unknowns are those of $q$; a dependent one is prescribed, or a weighted sum of free ones plus a value.
    Vectors keep their full length: `lift` sets the dependent unknowns, `reduce` is $T^\top$ with zeros at
    dependent unknowns, and `operator` is $T^\top K T$, with a number on the diagonal of dependent unknowns.

    Source: Shephard, *Linear multipoint constraints applied via transformation as part of a direct stiffness
    assembly process*, Int. J. Numer. Methods Eng. 20, 1984.
    """

    free: np.ndarray | Array
    groups: tuple[Prescribed, ...]
    ties: Ties | None = None
    condensation: Condensation | None = None

    @staticmethod
    def of(space: Space, conditions: Sequence[Condition], layout: MatrixLayout | None = None) -> "Constraint":
        """Collect the unknowns of each condition; a later prescribed value wins where two meet, and over ties.

        Args:
            space: where the unknowns live.
            conditions: `Dirichlet` and any `Tie`.
            layout: where the entries of matrices lie; `operator` needs one of rows where there are ties.

        Raises:
            ValueError: for a tag or component that does not exist, and ties that contradict one another.
        """
        free = np.ones(space.n_dofs, dtype=bool)
        groups = tuple(Prescribed.of(space, each) for each in conditions if isinstance(each, Dirichlet))
        for group in groups:
            free[group.dofs] = False
        equations = [each.equations(space) for each in conditions if isinstance(each, Tie)]
        if not equations:
            return Constraint(on_device(free), groups)
        dependence = eliminate(space.n_dofs, ~free, equations)
        free[dependence.tied] = False
        ties = Ties.of(dependence, free, equations)
        condensation = Condensation.plan(layout, free, dependence) if isinstance(layout, RowLayout) else None
        return Constraint(on_device(free), groups, ties, condensation)

    @property
    def n_free(self) -> int:
        """How many unknowns are free, where they are known."""
        return int(np.asarray(self.free).sum())

    def lift(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        """$T u + g$: set the dependent unknowns to their values."""
        for group in self.groups:
            u = u.at[group.dofs].set(group.values(u))
        return u if self.ties is None else self.ties.follow(u, self.ties.offset_values(u))

    def complete(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        """The solution from what a solver found: it leaves tied unknowns behind their masters, and prescribed ones,
        whose rows weigh little beside stiffnesses, not exactly at their values.
        """
        return self.lift(u)

    def extend(self, q: Float[Array, " n"]) -> Float[Array, " n"]:
        """$T q$: a change of the solution from its free unknowns, such as a mode shape."""
        q = jnp.where(self.free, q, 0.0)
        return q if self.ties is None else self.ties.follow(q, jnp.zeros_like(self.ties.offset_values(q)))

    def reduce(self, r: Float[Array, " n"]) -> Float[Array, " n"]:
        r"""$T^\top r$: a residual tested by admissible functions, zero at the dependent unknowns."""
        free = jnp.where(self.free, r, 0.0)
        if self.ties is None:
            return free
        masters, sums = self.ties.gathered(r)
        return free.at[masters].add(sums, unique_indices=True)

    def operator(
        self, layout: MatrixLayout, values: Float[Array, "..."], diagonal: Any = 1.0, *, symmetric: bool
    ) -> AssembledOperator:
        r"""$T^\top K T$ at full size for ``values`` of ``layout``, with ``diagonal`` at dependent unknowns.

        ``symmetric`` promises that $K$ is.
        """
        if self.ties is None:
            return layout.operator(values, self.free, diagonal, symmetric=symmetric)
        if self.condensation is None:
            raise ValueError("A constraint with ties needs a layout of matrices in rows: give it to Constraint.of.")
        return self.condensation.operator(values, self.ties.weights(), diagonal, symmetric)
