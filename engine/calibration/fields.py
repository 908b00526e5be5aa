r"""Whole fields from few readings: a Matérn prior on a mesh, Gauss-Newton in the space of the data.

A field is $u = \mu + s \circ L^{-1} M^{1/2} \xi$ with white $\xi \sim N(0, I)$, one number a node, $M$ the lumped mass
and $L$ the discrete $\kappa^2 - \Delta$: a Matérn field of smoothness $\nu = 2 - d/2$ (Lindgren, Rue, Lindström,
J. R. Stat. Soc. B 73, 2011), with Robin conditions at the boundary (Daon, Stadler, Inverse Probl. Imaging 12, 2018) and
a factor $s$ at each node that gives it one standard deviation everywhere, estimated from draws. With $m$ readings
$y(\xi)$, data $d$ and noise $\sigma$, the misfit $\Phi = \tfrac12 \|(y - d)/\sigma\|^2 + \tfrac12 \|\xi\|^2$ has the
Gauss-Newton step

$$ \delta = -\xi + J^\top (J J^\top + I)^{-1} (J \xi - r), $$

whose system has the size of the data, however many nodes there are; $J$ costs an adjoint solve for each reading. The
posterior is normal with covariance $I - J^\top (J J^\top + I)^{-1} J$ (Tarantola, *Inverse Problem Theory*, 2005).
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.fit import CalibrationError
from gemel.engine.lumping import lumped_mass
from gemel.engine.parameters import pushed
from gemel.engine.physics import Convection, Heat
from gemel.engine.priors import QUANTILE_95, Prior
from gemel.engine.spaces import FunctionSpace
from gemel.solvers import CG, Code, LinearOperator, Multigrid, Status, linear_combination, linear_solve

_ROBIN = 1.42
"""Of Daon and Stadler: the length over which the boundary gives way, over that of the field, inverted."""

_DRAWS = 400
"""From which the spread at each node is estimated: 3.5 % off."""


class MaternPrior(Prior):
    """What is believed of a scalar field before data: its mean, its spread, and over which distance it varies.

    It is the prior of a `Parameter` too: nodal values as a part of a twin.

    Build it with `MaternPrior.of`.
    """

    mean: Float[Array, " n"]
    std: float = eqx.field(static=True)
    length: float = eqx.field(static=True)
    space: FunctionSpace
    operator: LinearOperator
    root_mass: Float[Array, " n"]
    scale: Float[Array, " n"]
    solver: CG
    state: Any

    @staticmethod
    def of(space: FunctionSpace, mean: Any, std: float, length: float, rtol: float = 1e-9) -> "MaternPrior":
        """A prior on the nodes of a scalar space.

        Args:
            space: of one component.
            mean: a number, or nodal values ``(n,)``.
            std: the standard deviation, met within a few per cent.
            length: in m, where the correlation has fallen to 0.13.
            rtol: of the solves with L.

        Raises:
            ValueError: for a space of vectors, or a spread or length that is not positive.
        """
        if space.n_components != 1:
            raise ValueError(f"A Matérn prior describes one number at a place, not {space.n_components}.")
        if not (std > 0 and length > 0):
            raise ValueError(f"A Matérn prior needs a positive std and length, not {std} and {length} m.")
        dim = space.mesh.dim
        kappa = math.sqrt(8 * (2 - dim / 2)) / length
        body = Heat(space, 1.0, 1.0, [Convection("boundary", kappa / _ROBIN, 0.0)])
        assert body.inertia is not None
        zero = jnp.zeros(space.n_dofs)
        operator = linear_combination(1.0, body.problem.tangent(zero), kappa**2, body.inertia.tangent(zero))
        solver = CG(Multigrid(), rtol, 0.0, 200)
        start = jnp.broadcast_to(jnp.asarray(mean, float), (space.n_dofs,))
        root_mass, one = jnp.sqrt(lumped_mass(body.inertia)), jnp.ones(space.n_dofs)
        plain = MaternPrior(0 * one, std, length, space, operator, root_mass, one, solver, solver.init(operator))
        spread = jnp.std(plain.draws(jax.random.key(0), _DRAWS), axis=0)
        return eqx.tree_at(lambda prior: (prior.mean, prior.scale), plain, (start, std / spread))

    @property
    def count(self) -> int:
        """How many nodes, and numbers in ``xi``."""
        return len(self.root_mass)

    def field(self, xi: Float[Array, " n"]) -> Float[Array, " n"]:
        """The nodal values that white numbers stand for; linear in them, and differentiable."""
        smooth = linear_solve(self.operator, self.root_mass * xi, self.solver, self.state).value
        return self.mean + self.scale * smooth

    @property
    def shape(self) -> tuple[int, ...]:
        """One number a node."""
        return (self.count,)

    def value(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """The nodal values that white numbers stand for: `field`."""
        return self.field(z)

    def standardise(self, value: Float[Array, " n"]) -> Float[Array, " n"]:
        """The white numbers of nodal values: the inverse of `value`."""
        return self.operator.mv((value - self.mean) / self.scale) / self.root_mass

    def interval(self, mean: Float[Array, " n"], covariance: Float[Array, "n n"]) -> tuple[Array, Array]:
        """The central 95 % of each nodal value; as many solves with L as there are nodes."""
        values, std = pushed(self.field, mean, covariance)
        return values - QUANTILE_95 * std, values + QUANTILE_95 * std

    def draws(self, key: Array, count: int) -> Float[Array, "count n"]:
        """Fields drawn from the prior."""
        return _fields(self, jax.random.normal(key, (count, self.count)))


class FieldFit(eqx.Module):
    """A field found from data: the mean of its posterior, and what spans the directions that the data see.

    ``modes (m, n)`` are orthonormal in the white numbers and ``information (m,)`` is that of the data along them.
    """

    prior: MaternPrior
    xi: Float[Array, " n"]
    modes: Float[Array, "m n"]
    information: Float[Array, " m"]
    costs: Float[Array, " steps"]
    misfit: Float[Array, " m"]
    status: Status

    def field(self) -> Float[Array, " n"]:
        """The nodal values at the mean."""
        return self.prior.field(self.xi)

    def draws(self, key: Array, count: int) -> Float[Array, "count n"]:
        """Fields drawn from the posterior."""
        white = jax.random.normal(key, (count, self.prior.count))
        shrink = 1.0 - 1.0 / jnp.sqrt(1.0 + self.information)
        return _fields(self.prior, self.xi + white - ((white @ self.modes.T) * shrink) @ self.modes)

    def std(self, count: int = 200, seed: int = 0) -> Float[Array, " n"]:
        """The standard deviation at each node, from draws: within 5 % of it with 200."""
        return jnp.std(self.draws(jax.random.key(seed), count), axis=0)


@eqx.filter_jit
def _fields(prior: MaternPrior, xi: Float[Array, "k n"]) -> Float[Array, "k n"]:
    return jax.vmap(prior.field)(xi)


def calibrate_field(
    prior: MaternPrior,
    response: Callable[[Float[Array, " n"], Any], Float[Array, " m"]],
    data: Float[Array, " m"] | np.ndarray,
    noise: Float[Array, " m"] | np.ndarray | float,
    args: Any = None,
    ftol: float = 1e-4,
    max_steps: int = 30,
) -> FieldFit:
    """Find the field that explains readings, and how sure that is.

    Args:
        prior: what is believed of it before.
        response: the readings for nodal values; pure and differentiable by reverse mode. Called as
            ``response(values, args)``.
        data: the readings measured.
        noise: their standard deviations.
        args: what else the response needs, such as an analysis and its prepared solver.
        ftol: finished where a step lowers the misfit by less than this part of it.
        max_steps: limit of steps; the status is then ``MAX_STEPS``.

    Raises:
        ValueError: for data that are not finite, or noise that is not positive.
        CalibrationError: where the response at the prior's mean is not finite, or no step lowers the misfit there.
    """
    measured = jnp.asarray(data, float)
    scale = jnp.broadcast_to(jnp.asarray(noise, float), measured.shape)
    if not bool(jnp.all(jnp.isfinite(measured))) or not bool(jnp.all(scale > 0)):
        raise ValueError("The readings must be finite and their noise positive: leave out those that are missing.")
    problem = (prior, args, measured, scale)
    xi = jnp.zeros(prior.count)
    cost, residual, jacobian = _linearised(response, xi, problem)
    if not bool(jnp.isfinite(cost)):
        raise CalibrationError("The response at the mean of the prior is not finite: choose a mean that can be run.")
    costs, code = [cost], Code.MAX_STEPS
    for _ in range(max_steps):
        direction = _direction(xi, residual, jacobian)
        length = _line_search(response, xi, direction, cost, problem)
        if length == 0.0:
            code = Code.SUCCESS if len(costs) > 1 else Code.STAGNATION
            break
        xi = xi + length * direction
        before, (cost, residual, jacobian) = cost, _linearised(response, xi, problem)
        costs.append(cost)
        if float(before - cost) <= ftol * float(cost):
            code = Code.SUCCESS
            break
    if code == Code.STAGNATION:
        raise CalibrationError("No step lowers the misfit: the response does not follow the field, or its derivatives.")
    modes, information = _seen(jacobian)
    status = Status(jnp.asarray(int(code), jnp.int32))
    return FieldFit(prior, xi, modes, information, jnp.stack(costs), residual, status)


def _residual(response: Any, xi: Array, problem: Any) -> Array:
    prior, args, measured, scale = problem
    return (response(prior.field(xi), args) - measured) / scale


@eqx.filter_jit
def _linearised(response: Any, xi: Array, problem: Any) -> tuple[Array, Array, Array]:
    """The misfit, the weighted residual and its derivatives, one adjoint for each reading."""

    residual, pull = jax.vjp(lambda xi: _residual(response, xi, problem), xi)
    (jacobian,) = jax.vmap(pull)(jnp.eye(len(residual)))
    return 0.5 * (residual @ residual + xi @ xi), residual, jacobian


@eqx.filter_jit
def _cost(response: Any, xi: Array, problem: Any) -> Array:
    residual = _residual(response, xi, problem)
    return 0.5 * (residual @ residual + xi @ xi)


@jax.jit
def _direction(xi: Array, residual: Array, jacobian: Array) -> Array:
    system = jacobian @ jacobian.T + jnp.eye(len(residual))
    return -xi + jacobian.T @ jax.scipy.linalg.solve(system, jacobian @ xi - residual, assume_a="pos")


def _line_search(response: Any, xi: Array, direction: Array, cost: Array, problem: Any) -> float:
    """The first of 1, ½, ¼, ... that lowers the misfit; zero where none does."""
    for halvings in range(12):
        length = 0.5**halvings
        tried = float(_cost(response, xi + length * direction, problem))
        if tried < float(cost):
            return length
    return 0.0


@jax.jit
def _seen(jacobian: Array) -> tuple[Array, Array]:
    """Orthonormal directions that span the rows of J, and the squares of its singular values."""
    _, singular, modes = jnp.linalg.svd(jacobian, full_matrices=False)
    return modes, singular**2
