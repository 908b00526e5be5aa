"""Ensembles of small stiff and other initial value problems, and gradients, beside diffrax in the same process.

``python -m benchmarks.ours.ensembles [--case NAME] [--members B] [--repeat R] [--no-peer] [--no-gradient]``
"""

import argparse
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import timed
from benchmarks.odes import Ensemble, ensemble, errors, reference
from gemel.solvers import PIControl, Rodas5P, Tsit5, integrate_ensemble

MEMBERS = {"van-der-pol": 1000, "robertson": 1000, "lorenz": 100_000}
REFERENCES = {"van-der-pol": 32, "robertson": 8, "lorenz": 32}


class Runs:
    """The compiled runs of one ensemble: Rodas5P where it is stiff, else Tsit5; tolerances are arguments."""

    def __init__(self, case: Ensemble) -> None:
        self.case = case
        self.method = Rodas5P() if case.stiff else Tsit5()
        self.members = jnp.asarray(case.initial), jnp.asarray(case.parameters)
        weights = 1 / jnp.asarray(case.size)[:, None]

        def solve(y: Any, p: Any, control: PIControl) -> Any:
            return integrate_ensemble(
                lambda t, y, p: case.rate(jnp, t, y, p), y, (0.0, case.end), p, self.method, control
            )

        self.forward = jax.jit(solve)
        self.gradient = jax.jit(jax.grad(lambda *a: jnp.sum(solve(*a).value.final * weights), argnums=(0, 1)))

    def control(self, part: float) -> PIControl:
        """That part of the tolerances of the case, as arrays, so that one program serves all."""
        return PIControl(jnp.asarray(part * self.case.rtol), jnp.asarray(part * self.case.atol))

    def part_as_accurate(self, peer: dict[str, Any], exact: np.ndarray) -> float:
        """The part of the tolerances at which the median and the largest error are not above the peer's."""
        for exponent in range(9):
            part = 10 ** (-exponent / 2)
            final = self.forward(*self.members, self.control(part)).checked(self.case.title).final
            found = errors(self.case, np.asarray(final), exact)
            if all(found[key] <= peer[key] for key in found):
                return part
        raise RuntimeError(f"{self.case.name}: no tolerance down to 1e-4 of the peer's gives its error.")


def run(runs: Runs, part: float, repeat: int, gradient: bool, exact: np.ndarray) -> dict[str, Any]:
    """The row of one ensemble at a part of its tolerances. Raises `SolveError` where a member fails."""
    case, control = runs.case, runs.control(part)
    solution, timing = timed(lambda: runs.forward(*runs.members, control), repeat, jax.block_until_ready)
    final = np.asarray(solution.checked(case.title).final)
    tried = solution.statistics["accepted"] + solution.statistics["rejected"]
    row = {"method": f"gemel {type(runs.method).__name__}", "rtol": part * case.rtol, "atol": part * case.atol}
    row |= {"compile_s": timing.compile, "forward_s": timing.best}
    row |= {"tried": float(jnp.mean(tried)), **errors(case, final, exact)}
    if gradient:
        (_, dp), timing = timed(lambda: runs.gradient(*runs.members, control), repeat, jax.block_until_ready)
        row |= {"gradient_compile_s": timing.compile, "gradient_s": timing.best, "gradient": np.asarray(dp)}
    return row


def compare(case: Ensemble, repeat: int, gradient: bool, peer: bool) -> list[dict[str, Any]]:
    """The rows of one ensemble: at the tolerances of the case and, with a peer, at those that give the peer's error.

    ``gradients_apart`` is the median over the members of the difference from the peer's gradient.
    """
    exact = reference(case, min(REFERENCES[case.name], case.initial.shape[1]))
    runs = Runs(case)
    rows = [run(runs, 1.0, repeat, gradient, exact)]
    if peer:
        from benchmarks.peers import diffrax_ensembles

        theirs = {"rtol": case.rtol, "atol": case.atol}
        theirs |= diffrax_ensembles.run(case, repeat, gradient and case.stiff, exact)
        part = runs.part_as_accurate(theirs, exact)
        rows += [run(runs, part, repeat, gradient, exact)] if part < 1 else []
        rows.append(theirs)
    gradients = [row.pop("gradient", None) for row in rows]
    if gradients[-1] is not None and peer:
        size = np.max(np.abs(gradients[-1]), axis=1, keepdims=True)
        for row, found in zip(rows[:-1], gradients[:-1], strict=True):
            assert found is not None
            row["gradients_apart"] = float(np.median(np.max(np.abs(found - gradients[-1]) / size, axis=0)))
    head = {"case": case.name, "members": case.initial.shape[1]}
    return [head | row for row in rows]


def ratios(rows: list[dict[str, Any]]) -> list[str]:
    """One sentence for each of our rows and each time that the peer, the last row, has too."""
    peer, names = rows[-1], {"forward_s": "forward", "gradient_s": "gradient"}
    return [
        f"{row['case']}, {names[key]} at rtol = {row['rtol']:.2g}: {peer[key] / row[key]:.3g} times faster"
        for row in rows[:-1]
        for key in names
        if key in row and key in peer and "diffrax" in peer["method"]
    ]


def main() -> None:
    """Measure and print one line of JSON a row, then the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ours.ensembles")
    parser.add_argument("--case", choices=list(MEMBERS), action="append")
    parser.add_argument("--members", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--no-gradient", action="store_true")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for name in options.case or MEMBERS:
        case = ensemble(name, options.members or MEMBERS[name])
        rows = compare(case, options.repeat, not options.no_gradient, not options.no_peer)
        for row in rows:
            print(json.dumps({key: float(f"{x:.3g}") if isinstance(x, float) else x for key, x in row.items()}))
        print("\n".join(ratios(rows)), flush=True)


if __name__ == "__main__":
    main()
