"""Which computed mode each measured shape was paired with in a run."""

from dataclasses import dataclass

from gemel.engine.measuredmodes import ModeSensor, ShapeSensor
from gemel.engine.simulation import Run
from gemel.engine.twin import Twin


@dataclass(frozen=True)
class ModePair:
    """A measured shape and the computed mode that resembles it most.

    Attributes:
        sensor: the first sensor of the twin that reads the shape.
        mode: the number of the computed mode, from 1.
        mac: their modal assurance; of a mode with close neighbours that of their nearest combination.
        least_mac: what it should be at least.
    """

    sensor: str
    mode: int
    mac: float
    least_mac: float

    @property
    def paired(self) -> bool:
        """Whether the modes resemble each other enough to be compared."""
        return self.mac >= self.least_mac

    def words(self) -> str:
        """The pair in a sentence."""
        if self.paired:
            return f"{self.sensor}: its shape is that of mode {self.mode}, with a MAC of {self.mac:.3f}."
        return (
            f"{self.sensor}: no computed mode has its shape (the best, mode {self.mode}, has a MAC of {self.mac:.3f}, "
            f"below {self.least_mac:g}), so it is not read: compute more modes, or look for a wrong sign or direction."
        )


def mode_pairs(twin: Twin, run: Run) -> list[ModePair]:
    """The pairs of a run of a twin, one for each measured shape; a run of one member, outside ``jit``."""
    pairs = []
    for sensor in twin.sensors:
        if isinstance(sensor, ModeSensor | ShapeSensor) and f"mac.{sensor.name}" in run.statistics:
            mac, mode = (run.statistics[f"{key}.{sensor.name}"] for key in ("mac", "mode"))
            pairs.append(ModePair(sensor.name, int(mode), float(mac), sensor.shape.least_mac))
    return pairs
