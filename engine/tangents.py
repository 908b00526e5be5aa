"""What a solver must know of the tangent of anything that adds to a residual."""

import abc
from typing import Any

import equinox as eqx


class Differentiable(eqx.Module):
    """A part of a residual: a form at a point, a structural element, a contribution of many elements."""

    @property
    @abc.abstractmethod
    def linear(self) -> bool:
        """True where the residual is affine in the unknowns, so that one linear solve suffices."""

    @property
    @abc.abstractmethod
    def symmetric(self) -> bool:
        """True where the tangent is symmetric: then conjugate gradients may solve it."""

    @property
    @abc.abstractmethod
    def tangent_parameters(self) -> Any:
        """What the tangent depends on besides the unknowns: where it holds an `Input`, it changes in time."""

    @property
    def has_tangent(self) -> bool:
        """False where the residual does not depend on the unknowns, as that of a dead load: no matrix is planned."""
        return True

    @property
    def homogeneous(self) -> bool:
        """True where the residual is known to be zero where the unknowns are: of a linear part it is then the product
        of the tangent with them.
        """
        return False


class Delegated(Differentiable):
    """A part that is as another is."""

    @property
    @abc.abstractmethod
    def origin(self) -> Differentiable:
        """The other."""

    @property
    def linear(self) -> bool:
        """As the origin."""
        return self.origin.linear

    @property
    def symmetric(self) -> bool:
        """As the origin."""
        return self.origin.symmetric

    @property
    def tangent_parameters(self) -> Any:
        """As the origin."""
        return self.origin.tangent_parameters

    @property
    def has_tangent(self) -> bool:
        """As the origin."""
        return self.origin.has_tangent

    @property
    def homogeneous(self) -> bool:
        """As the origin."""
        return self.origin.homogeneous


class Quadratic(Differentiable):
    """A part with an energy that is quadratic in the unknowns, a load among them."""

    @property
    def linear(self) -> bool:
        """Always."""
        return True

    @property
    def symmetric(self) -> bool:
        """Always."""
        return True


class Loading(Differentiable):
    """A load: it has a tangent only where it depends on the unknowns."""

    @property
    def tangent_parameters(self) -> Any:
        """None: the load itself has no tangent."""
        return ()

    @property
    def has_tangent(self) -> bool:
        """Where it is not linear: it depends on the unknowns, by a law."""
        return not self.linear
