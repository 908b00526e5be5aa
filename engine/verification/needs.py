"""Programs that some cases compare with, and whether they are installed."""

import importlib.util
import shutil

NEEDS = {
    "scikit-fem": lambda: importlib.util.find_spec("skfem") is not None,
    "CalculiX": lambda: shutil.which("ccx") is not None,
}
"""Whether each optional program is there: scikit-fem from PyPI, the command ``ccx`` of CalculiX."""


def missing(needs: tuple[str, ...]) -> str | None:
    """The first program among ``needs`` that is not installed, or None."""
    return next((name for name in needs if not NEEDS[name]()), None)
