"""What every time integrator provides."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Status
from gemel.solvers.time.systems import System
from gemel.solvers.trail import Trail


class TimeIntegrator(eqx.Module):
    """A method of step-by-step integration as a state machine.

    ``init`` sets up on the host, ``assemble`` once per integration, ``prepare`` once per step size; ``start``
    gives the memory before the first step, then ``step``. The memory is all that a method keeps from one
    step to the next: a run continued with it equals an uninterrupted one. ``initial`` is u of shape (n,) for
    methods of first order, the pair (u, v) for those of second order.
    """

    @abc.abstractmethod
    def init(self, system: System, t: Array | float, initial: PyTree, dt: Array | float, args: PyTree) -> Any:
        """Return the state of the linear solver for steps of about ``dt``."""

    @abc.abstractmethod
    def assemble(self, system: System, t: Array, initial: PyTree, args: PyTree) -> Any:
        """Return what all steps share."""

    @abc.abstractmethod
    def prepare(self, assembled: Any, state: Any, memory: Any, dt: Array) -> Any:
        """Return what all steps of one size share; ``memory`` is None where the whole run has one step size."""

    @abc.abstractmethod
    def start(
        self, system: System, assembled: Any, state: Any, t: Array, initial: PyTree, args: PyTree
    ) -> tuple[Any, Status]:
        """Return the memory before the first step, and whether it could be found."""

    @abc.abstractmethod
    def resume(self, system: System, assembled: Any, t: Array, memory: Any, args: PyTree) -> Any:
        """Return the memory of an earlier run, ready to go on from t."""

    @abc.abstractmethod
    def shared_operator(self, prepared: Any) -> LinearOperator | None:
        """Return the operator of all linear solves with ``prepared``; None where there is no such one."""

    @abc.abstractmethod
    def with_operator(self, prepared: Any, operator: LinearOperator) -> Any:
        """Return ``prepared`` with another operator, of the same values, in all linear solves."""

    @abc.abstractmethod
    def trail(self, memory: Any) -> Trail | None:
        """Return the trail before the first step; None where the solves of a step have no use for one."""

    @abc.abstractmethod
    def step(
        self, system: System, prepared: Any, memory: Any, t: Array, dt: Array, args: PyTree, trail: Trail | None
    ) -> tuple[Any, Status, Array, Trail | None]:
        """Advance from t to t + dt. Returns the memory, the status, the number of linear iterations, and the trail."""

    @abc.abstractmethod
    def output(self, memory: Any) -> PyTree:
        """Return the state that a memory stands for: u for methods of first order, a `Motion` for others."""

    @abc.abstractmethod
    def verdict(self, system: System, prepared: Any, memory: Any, t: Array, dt: Array, args: PyTree) -> Status:
        """Judge the state handed out at t, after a step of dt."""


class EmbeddedIntegrator(TimeIntegrator):
    """A method that estimates the error of each of its steps."""

    @property
    @abc.abstractmethod
    def error_order(self) -> int:
        """The power of Δt with which the estimate falls."""

    @abc.abstractmethod
    def error(
        self, system: System, prepared: Any, memory: Any, t: Array, dt: Array, args: PyTree
    ) -> Float[Array, " n"]:
        """Return the estimated error of u after a step of dt that ended at t. Not differentiated."""
