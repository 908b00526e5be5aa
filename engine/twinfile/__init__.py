"""Twin files: TOML documents that describe a twin, its data and its calibration."""

from gemel.engine.twinfile.errors import TwinFileError
from gemel.engine.twinfile.files import MissingDataError
from gemel.engine.twinfile.twinfile import TwinFile, load_twin

__all__ = ["MissingDataError", "TwinFile", "TwinFileError", "load_twin"]
