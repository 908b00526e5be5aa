"""A twin: an analysis of one device, its sensors, and the belief about its parameters."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Array

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.coefficients import inputs_of
from gemel.engine.images import image_by_pixel, images_of
from gemel.engine.losses import Gaussian, Loss, require_loss
from gemel.engine.noise import Noise
from gemel.engine.parameters import Belief, Parameter, bind, parameters_of
from gemel.engine.precision import require_double
from gemel.engine.sensors import Sensor
from gemel.names import listed
from gemel.solvers.implicit import stop_gradient


class Twin(eqx.Module):
    """A model of one physical device, ready to be simulated, calibrated and forecast.

    Its mesh is fixed once it is built: sensors and prescribed values keep places of their own, so derivatives by the
    shape need the twin to be built inside the function that is differentiated.

    Args:
        name: the device's name.
        analysis: the model with the question asked of it; numbers in it may be `Parameter` and `Input`.
        sensors: what is read from it.
        description: one line for people.
        loss: what the noise of its sensors is taken for, in fits and in the bands of forecasts.

    Raises:
        RuntimeError: where jax computes in single precision.
        ValueError: for sensors that share a name or do not fit the analysis, inconsistent parameters, or no loss.
    """

    name: str = eqx.field(static=True)
    analysis: Analysis
    sensors: tuple[Sensor, ...]
    belief: Belief
    observation: Any
    prepared: Any
    loss: Loss
    description: str = eqx.field(static=True)

    def __init__(
        self,
        name: str,
        analysis: Analysis,
        sensors: Sequence[Sensor],
        description: str = "",
        loss: Loss = Gaussian(),  # noqa: B008
    ) -> None:
        require_double("A twin")
        names = [sensor.name for sensor in sensors]
        for sensor, count in Counter(names).items():
            if count > 1:
                raise ValueError(f"Two sensors of twin '{name}' are called '{sensor}'.")
        self.name = name
        self.analysis = analysis
        self.sensors = tuple(sensors)
        self.description = description
        self.loss = require_loss(loss)
        self.belief = Belief.prior(parameters_of((analysis, self.sensors)))
        self.observation = analysis.observe(self.sensors)
        self.prepared = stop_gradient(bind(analysis, self.belief.values())).prepare()

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The uncertain parameters by name."""
        return {parameter.name: parameter for parameter in self.belief.parameters}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the input signals that the model takes."""
        return inputs_of(self.analysis)

    @property
    def images(self) -> Mapping[str, tuple[str, ...]]:
        """The sensors that are the pixels of each image, by its name."""
        return images_of(self.sensors)

    def each(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of sensors, with those of its pixels in place of an image."""
        images = self.images
        return tuple(one for name in names for one in images.get(name, (name,)))

    def grouped(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Names of sensors by the image that they are pixels of; others by themselves."""
        image_of = image_by_pixel(self.images)
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(image_of.get(name, name), []).append(name)
        return {label: tuple(members) for label, members in found.items()}

    def sensor(self, name: str) -> Sensor:
        """The sensor called ``name``, of an image its first pixel; raises `ValueError` with the names that exist."""
        for sensor in self.sensors:
            if sensor.name == name:
                return sensor
        images = self.images
        if name in images:
            return self.sensor(images[name][0])
        pixels = image_by_pixel(images)
        known = [*(sensor.name for sensor in self.sensors if sensor.name not in pixels), *images]
        raise ValueError(f"Twin '{self.name}' has no sensor '{name}': it has {listed(name, known)}")

    def noise(self, name: str) -> Noise:
        """The noise of a sensor with its numbers at the mean of the belief; raises `ValueError` as `sensor`."""
        return bind(self.sensor(name).noise, self.belief.values())

    def noises(self) -> dict[str, Noise]:
        """The noises of all sensors by name, as `noise`."""
        values = self.belief.values()
        return {sensor.name: bind(sensor.noise, values) for sensor in self.sensors}

    def with_belief(self, mean: Array, covariance: Array) -> "Twin":
        """The same twin with another belief about its parameters."""
        belief = Belief(self.belief.parameters, mean, covariance)
        return eqx.tree_at(lambda twin: twin.belief, self, belief)

    def with_loss(self, loss: Loss) -> "Twin":
        """The same twin whose noise is taken for another one."""
        return eqx.tree_at(
            lambda twin: twin.loss, self, require_loss(loss), is_leaf=lambda node: isinstance(node, Loss)
        )
