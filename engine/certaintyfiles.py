"""What was found about a fit beyond its normal posterior, as files: profiles and draws that know whose they are."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.calibration import Draws, Fit, LikelihoodProfile
from gemel.engine.results import save_json
from gemel.engine.store.files import write_atomically

_UNREADABLE = (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile)


def save_profiles(path: Path, fit: Fit, profiles: Sequence[LikelihoodProfile]) -> None:
    """Write the profiles of a fit as JSON, in SI units, with what tells it from others."""
    content = {"fit": _mark(fit).tolist(), "profiles": [dataclasses.asdict(one) for one in profiles]}
    save_json(path, _plain(content))


def load_profiles(path: Path, fit: Fit) -> list[LikelihoodProfile]:
    """The profiles in a file that are of this very fit; none of another one, or where nothing can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not np.array_equal(np.asarray(content["fit"], dtype=float), _mark(fit)):
            return []
        return [_profile(one) for one in content["profiles"]]
    except _UNREADABLE:
        return []


def save_draws(path: Path, fit: Fit, draws: Draws, seed: int) -> None:
    """Write draws as an ``.npz``: ``z (chains, n, p)`` in the order of ``labels``, ``r_hat`` and ``effective`` too,
    ``divergent``, the ``seed``, and of each parameter in SI units ``value.NAME (chains * n, ...)``; with what tells the
    fit that they are about from others.
    """
    stream = io.BytesIO()
    labels = draws.belief.labels
    arrays: dict[str, Any] = {f"value.{name}": values for name, values in draws.values().items()}
    np.savez(
        stream,
        fit=_mark(fit),
        seed=np.asarray(seed),
        z=draws.z,
        labels=np.asarray(labels),
        r_hat=np.asarray([draws.r_hat[label] for label in labels]),
        effective=np.asarray([draws.effective[label] for label in labels]),
        divergent=np.asarray(draws.divergent),
        **arrays,
    )
    write_atomically(path, stream.getvalue())


def load_draws(path: Path, fit: Fit) -> tuple[Draws, int] | None:
    """The draws in a file that are about this very fit, and their seed; None where there are none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not np.array_equal(file["fit"], _mark(fit)):
                return None
            labels = [str(label) for label in file["labels"]]
            r_hat, effective = (dict(zip(labels, file[key].tolist(), strict=True)) for key in ("r_hat", "effective"))
            return Draws(fit.belief, file["z"], r_hat, effective, float(file["divergent"])), int(file["seed"])
    except _UNREADABLE:
        return None


def _mark(fit: Fit) -> np.ndarray:
    """What tells one fit from another: where it ended, and how large its misfit is there."""
    return np.append(np.asarray(fit.belief.mean, dtype=float), float(fit.costs[-1]))


def _plain(content: Any) -> Any:
    """Arrays as lists."""
    if isinstance(content, Mapping):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content.tolist() if isinstance(content, np.ndarray) else content


def _profile(kept: Mapping[str, Any]) -> LikelihoodProfile:
    arrays = {key: np.asarray(kept[key], dtype=float) for key in ("values", "excess", "deviations", "data")}
    pairs: Any = {key: tuple(kept[key]) for key in ("interval", "ends", "shares", "failed")}
    return LikelihoodProfile(name=kept["name"], unconverged=kept["unconverged"], **arrays, **pairs)
