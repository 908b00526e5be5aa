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


def run(case: Ensemble, repeat: int, gradient: bool, exact: np.ndarray) -> dict[str, Any]:
    """The row of one ensemble: Rodas5P where it is stiff, else Tsit5. Raises `SolveError` where a member fails."""
    method = Rodas5P() if case.stiff else Tsit5()
    control = PIControl(case.rtol, case.atol)

    def solve(y: Any, p: Any) -> Any:
        return integrate_ensemble(lambda t, y, p: case.rate(jnp, t, y, p), y, (0.0, case.end), p, method, control)

    initial, parameters = jnp.asarray(case.initial), jnp.asarray(case.parameters)
    every = jax.jit(solve)
    solution, timing = timed(lambda: every(initial, parameters), repeat, jax.block_until_ready)
    final = np.asarray(solution.checked(case.title).final)
    tried = solution.statistics["accepted"] + solution.statistics["rejected"]
    row = {"method": f"gemel {type(method).__name__}", "compile_s": timing.compile, "forward_s": timing.best}
    row |= {"tried": float(jnp.mean(tried)), **errors(case, final, exact)}
    if gradient:
        weights = 1 / jnp.asarray(case.size)[:, None]
        slope = jax.jit(jax.grad(lambda y, p: jnp.sum(solve(y, p).value.final * weights), argnums=(0, 1)))
        (_, dp), timing = timed(lambda: slope(initial, parameters), repeat, jax.block_until_ready)
        row |= {"gradient_compile_s": timing.compile, "gradient_s": timing.best, "gradient": np.asarray(dp)}
    return row


def compare(case: Ensemble, repeat: int, gradient: bool, peer: bool) -> list[dict[str, Any]]:
    """The rows of one ensemble, and how far the two gradients lie apart: the median over the members."""
    exact = reference(case, min(REFERENCES[case.name], case.initial.shape[1]))
    rows = [run(case, repeat, gradient, exact)]
    if peer:
        from benchmarks.peers import diffrax_ensembles

        rows.append(diffrax_ensembles.run(case, repeat, gradient and case.stiff, exact))
    gradients = [row.pop("gradient") for row in rows if "gradient" in row]
    if len(gradients) == 2:
        size = np.max(np.abs(gradients[1]), axis=1, keepdims=True)
        rows[0]["gradients_apart"] = float(np.median(np.max(np.abs(gradients[0] - gradients[1]) / size, axis=0)))
    head = {"case": case.name, "members": case.initial.shape[1], "rtol": case.rtol, "atol": case.atol}
    return [head | row for row in rows]


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
        for key in ("forward_s", "gradient_s"):
            if len(rows) == 2 and key in rows[1]:
                print(f"{name}, {key}: {rows[1][key] / rows[0][key]:.3g} times faster", flush=True)


if __name__ == "__main__":
    main()
