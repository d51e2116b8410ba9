"""Are all modes found? The Gaussian mixture, whose components are exchangeable, so that modes and shares are known.

    python benchmarks/missed_modes.py                # 2 components in 2 and 5 dimensions, 3 in 2; 50 datasets each
    python benchmarks/missed_modes.py --only 3x2     # 3 components in 2 dimensions

Each draw of the posterior is assigned to the relabelling of the components that brings it closest to one reference (the
draw of highest density); every relabelling has the same probability. Reported: verdicts, modes that hold a draw at all,
largest error of a mode's share; and the same for q cut down to its best mode, which k-hat cannot tell from the whole.
Rows go to `results/missed_modes.jsonl`.
"""

import argparse
import itertools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from rows import append

import posterity
from posterity.informed_posterior.nest.modes import ModesPosterior
from posterity.runtime.compile import filter_jit, jit
from posterity.runtime.threads import one_blas_thread
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed

NAME = "missed_modes"
CASES = ((2, 2), (2, 5), (3, 2))
NUM_ROWS, NUM_DRAWS, SECONDS = 100, 4000, 10.0


def shares_of_modes(mu, weights, reference):
    """Posterior share of each relabelling, for draws `(draw, component, dim)`."""
    orders = list(itertools.permutations(range(mu.shape[1])))
    gaps = np.stack([np.sum((mu[:, order] - reference) ** 2, axis=(1, 2)) for order in orders], axis=1)
    return np.bincount(gaps.argmin(axis=1), weights=weights, minlength=len(orders))


def run_case(components, dims, number):
    """All datasets of one case."""
    entry = posterity.MODELS["gaussian_mixture"]
    options = {"num_components": components, "component_sd": 0.316}
    simulator = posterity.builtin_simulator(entry, (NUM_ROWS, NUM_ROWS), (dims, dims), check=False, **options)
    estimator = posterity.informed("gaussian_mixture", columns=dims, **options)
    model = estimator.model

    @filter_jit
    def cut(q, dataset, key):
        assert isinstance(q, ModesPosterior)
        best = jnp.where(jnp.arange(q.log_weights.size) == 0, 0.0, -jnp.inf)
        z, log_q = eqx.tree_at(lambda p: p.log_weights, q, best).sample_and_log_prob(key, NUM_DRAWS)
        log_joint = vmap(model.log_joint, in_axes=(0, None))(z, dataset)
        return vmap(model.space.constrain)(z)["mu"], log_joint - log_q

    simulate = jit(simulator.simulate)
    num_modes = int(np.prod(range(1, components + 1)))
    found = {"whole": [], "cut": []}
    for i in range(number):
        dataset, _ = simulate(random.key(i), jnp.ones(NUM_ROWS, bool), model.plate_masks({"dims": dims}))
        values = {"x": np.asarray(dataset.values["x"])}
        posterior = estimator.infer(values, num_draws=NUM_DRAWS, seed=i, refine_seconds=SECONDS)
        draws, log_weights = posterior.weighted
        mu, weights = (
            draws["mu"],
            np.full(len(draws["mu"]), 1.0 / len(draws["mu"])) if log_weights is None else np.exp(log_weights),
        )
        shares = shares_of_modes(mu, weights, mu[np.argmax(posterior.weighted_log_joint)])
        found["whole"].append((posterior.verdict, np.sum(shares > 0.0), np.max(np.abs(shares - 1.0 / num_modes))))
        mu, ratios = (np.asarray(part) for part in cut(estimator.network(dataset), dataset, random.key(i)))
        weights = pareto_smoothed(ratios)
        shares = shares_of_modes(mu, np.exp(weights.log_weights), mu[0])
        found["cut"].append((judge(weights)[0], np.sum(shares > 0.0), np.max(np.abs(shares - 1.0 / num_modes))))
        print(components, dims, i, found["whole"][-1], found["cut"][-1], flush=True)
    row = {"components": components, "dims": dims, "datasets": number, "modes": num_modes}
    for name, results in found.items():
        verdicts = [verdict for verdict, _, _ in results]
        accepted = [(modes, error) for verdict, modes, error in results if verdict != "untrusted"]
        row[name] = {
            **{verdict: verdicts.count(verdict) for verdict in ("corrected", "refined", "untrusted")},
            "accepted_with_all_modes": int(sum(modes == num_modes for modes, _ in accepted)),
            "share_error_median": float(np.median([error for _, error in accepted])) if accepted else None,
            "share_error_largest": float(np.max([error for _, error in accepted])) if accepted else None,
        }
    append(NAME, row)
    print(row, flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = {f"{components}x{dims}": (components, dims) for components, dims in CASES}
    parser.add_argument("--only", nargs="+", choices=cases, default=list(cases), help="components x dimensions")
    parser.add_argument("--datasets", type=int, default=50)
    options = parser.parse_args()
    with one_blas_thread():
        for case in options.only:
            run_case(*cases[case], options.datasets)


if __name__ == "__main__":
    main()
