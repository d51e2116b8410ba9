"""Is the anchor the best full Gaussian of its dataset? Against an optimum found in float64, on the same datasets.

    python benchmarks/informed_best_gaussian.py      # logistic regression, 200 datasets at each of four sizes
    python benchmarks/informed_best_gaussian.py --size 32,5 --datasets 4

The optimum of KL(q || p) over all Gaussians is a fixed point (see `posterity.informed_posterior.anchor.anchor`); here
it is iterated in NumPy, with 41 Gauss-Hermite nodes and without the anchor's float32, early stop or damping rule, until
steps are below 1e-9 posterior sds. Importance ESS of 4000 draws, the same noise for both. Rows go to
`results/informed_best_gaussian.jsonl`.
"""

import argparse

import jax
import numpy as np
from informed_tasks import make, simulate
from jax import numpy as jnp
from jax import random
from metrics import summary
from rows import append
from scipy.linalg import solve_triangular
from scipy.special import expit, log_expit

from posterity.informed_posterior.anchor.anchor import find_anchor
from posterity.informed_posterior.read.structure import conditional_terms
from posterity.runtime.compile import filter_jit
from posterity.runtime.threads import one_blas_thread

NAME = "informed_best_gaussian"
NUM_DATASETS, NUM_DRAWS = 200, 4000
SIZES = ((32, 5), (64, 20), (512, 20), (256, 60))
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
NODE_WEIGHTS = NODE_WEIGHTS / NODE_WEIGHTS.sum()


def best_gaussian(x, y, loc, precision):
    """Mean and precision of the optimum, standard normal prior; damped until it settles."""
    damping, last = 1.0, np.inf
    for _ in range(2000):
        sd = np.sqrt(np.einsum("ij,ji->i", x, np.linalg.solve(precision, x.T)))
        eta = (x @ loc)[:, None] + sd[:, None] * NODES
        chance = expit(eta)
        slope, curvature = (y[:, None] - chance) @ NODE_WEIGHTS, (chance * (1.0 - chance)) @ NODE_WEIGHTS
        wanted = np.eye(x.shape[1]) + (x.T * curvature) @ x
        gradient = x.T @ slope - loc
        factor = np.linalg.cholesky(precision)
        white = solve_triangular(factor, solve_triangular(factor, wanted - precision, lower=True).T, lower=True)
        length = max(np.abs(white).max(), np.linalg.norm(solve_triangular(factor, gradient, lower=True)))
        if length < 1e-9:
            return loc, precision
        damping = 0.5 * damping if length > last else min(1.0, 1.2 * damping)
        last = length
        precision = precision + damping * (wanted - precision)
        loc = loc + damping * np.linalg.solve(precision, gradient)
    raise RuntimeError(f"no fixed point after 2000 steps: last step {length:.2g}")


def ess(x, y, loc, precision, noise):
    """Importance ESS fraction of a Gaussian q."""
    factor = np.linalg.cholesky(precision)
    z = loc + solve_triangular(factor, noise.T, lower=True, trans=1).T
    eta = z @ x.T
    log_joint = log_expit(np.where(y == 1, eta, -eta)).sum(axis=1) - 0.5 * np.sum(z**2, axis=1)
    ratios = log_joint + 0.5 * np.sum(noise**2, axis=1)
    weights = np.exp(ratios - ratios.max())
    return weights.sum() ** 2 / np.sum(weights**2) / len(z)


def run(rows, columns, number):
    """All datasets of one size."""
    simulator, network = make("logistic_regression", rows, columns)
    model, datasets = simulator.model, simulate(simulator, rows, number)
    origin = jnp.zeros(model.space.size)

    @filter_jit
    def anchor_of(dataset):
        anchor = find_anchor(conditional_terms(model, network.structure, origin, dataset))
        return anchor.loc, anchor.factor

    order = [model.space.coordinates(name) for name in ("w", "b")]
    place = np.concatenate([np.arange(columns + 1)[part] for part in order])
    pairs = []
    for i in range(number):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], datasets)
        loc, factor = (np.asarray(part, np.float64) for part in anchor_of(one))
        x = np.empty((rows, columns + 1))
        x[:, place] = np.column_stack([np.asarray(one.values["x"], np.float64), np.ones(rows)])
        y = np.asarray(one.values["y"])
        noise = np.asarray(random.normal(random.key(i), (NUM_DRAWS, columns + 1)), np.float64)
        best = best_gaussian(x, y, loc, factor @ factor.T)
        pairs.append((ess(x, y, loc, factor @ factor.T, noise), ess(x, y, *best, noise)))
    anchor, optimum = np.array(pairs).T
    row = {"rows": rows, "features": columns, "anchor": summary(anchor), "optimum": summary(optimum)}
    append(NAME, {**row, "ratio_of_medians": float(np.median(anchor) / np.median(optimum))})
    print(rows, columns, np.median(anchor), np.median(optimum), np.quantile(anchor / optimum, [0.05, 0.5, 0.95]))


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", help="ROWS,FEATURES")
    parser.add_argument("--datasets", type=int, default=NUM_DATASETS)
    options = parser.parse_args()
    with one_blas_thread():
        for rows, columns in [tuple(map(int, options.size.split(",")))] if options.size else SIZES:
            run(rows, columns, options.datasets)


if __name__ == "__main__":
    main()
