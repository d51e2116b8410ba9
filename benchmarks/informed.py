"""The informed posterior on fresh datasets: importance ESS and k-hat, beside Laplace and the anchor alone.

    python benchmarks/informed.py                              # every model at every size, skipping those done
    python benchmarks/informed.py --model logistic --size 64,20

Datasets are drawn from the model's own joint, N(0, 1) covariates; 1000 draws of q each. Rows go to
`results/informed.jsonl`: median, 5% quantile and mean of the ESS fraction of plain weights, share with k-hat <= 0.7,
share with verdict `corrected`, and milliseconds per dataset. `anchor` is the Gaussian that minimises KL(q || p), with
nothing learned; `theory` bends it by first-order perturbation theory, with nothing learned; `laplace` is mode and
Hessian of all unconstrained latents.
"""

import argparse
import dataclasses
import time
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from informed_models import MODELS, make_simulator
from jax import lax, random, vmap
from metrics import summary
from rows import append, read

import posterity
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.runtime.compile import filter_jit, jit
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed

NAME = "informed"
SIZES = ((32, 5), (64, 20), (512, 20), (256, 60))
NUM_DRAWS = 1000


def straight(network: RowNetwork) -> RowNetwork:
    """A network that bends nothing."""
    return Straight(network)  # type: ignore[return-value]


class Straight(eqx.Module):
    """The anchor alone."""

    network: RowNetwork

    def __call__(self, terms, anchor):
        """The map of one dataset, with all bends taken out."""
        found = self.network(terms, anchor)
        return eqx.tree_at(lambda m: (m.shift, m.slopes), found, (0.0 * found.shift, 0.0 * found.slopes))


def laplace_draws(model, dataset, start, rng_key):
    """Draws of N(mode, inverse Hessian) with their log densities; the Hessian's jitter grows until it is definite."""

    def target(z):
        return model.log_joint(z, dataset)

    def definite(hessian):
        size = jnp.maximum(jnp.max(jnp.abs(jnp.diagonal(hessian))), 1e-6)
        factors = [jnp.linalg.cholesky(hessian + c * size * jnp.eye(len(hessian))) for c in (1e-7, 1e-4, 1e-2, 1.0)]
        chosen = factors[-1]
        for factor in reversed(factors):
            chosen = jnp.where(jnp.all(jnp.isfinite(factor)), factor, chosen)
        return chosen

    def step(z, _):
        factor = definite(-jax.hessian(target)(z))
        direction = jax.scipy.linalg.cho_solve((factor, True), jax.grad(target)(z))
        sizes = jnp.asarray([1.0, 0.3, 0.1, 0.01, 0.0])
        values = vmap(lambda t: target(z + t * direction))(sizes)
        best = sizes[jnp.argmax(jnp.where(jnp.isfinite(values), values, -jnp.inf))]
        return z + best * direction, None

    mode = lax.scan(step, start, None, length=12)[0]
    factor = definite(-jax.hessian(target)(mode))
    noise = random.normal(rng_key, (NUM_DRAWS, len(mode)))
    z = mode + jax.scipy.linalg.solve_triangular(factor, noise.T, lower=True, trans=1).T
    log_q = -0.5 * jnp.sum(noise**2, axis=1) + jnp.sum(jnp.log(jnp.diagonal(factor)))
    return z, log_q - 0.5 * len(mode) * jnp.log(2.0 * jnp.pi)


def ratios_by(simulator, draw, num_rows, num_datasets, seed):
    """Log importance ratios `(dataset, draw)` of a way to draw, and milliseconds per dataset, weighing included."""
    weigh = jit(vmap(simulator.model.log_joint, in_axes=(0, None)))
    keys = random.split(random.key(seed), num_datasets)
    datasets, _ = jit(vmap(lambda key: simulator.simulate(key, jnp.ones(num_rows, bool), {})))(keys)
    datasets = jax.device_get(datasets)

    def ratios(i):
        dataset = jax.tree.map(lambda leaf: leaf[i], datasets)
        z, log_q = draw(dataset, keys[i])
        return np.asarray(weigh(z, dataset) - log_q, np.float64)

    ratios(0)  # compiles
    started = time.perf_counter()
    found = np.stack([ratios(i) for i in range(num_datasets)])
    return found, (time.perf_counter() - started) / num_datasets * 1e3


@filter_jit
def drawn(q, rng_key):
    """Draws of q with their log densities."""
    return q.sample_and_log_prob(rng_key, NUM_DRAWS)


def rate(ratios):
    """Summary of importance weights over datasets."""
    usable = np.isfinite(ratios).any(axis=1)  # q may not be had at all, as where a Hessian is NaN
    ratios = np.where(np.isfinite(ratios), ratios, -1e30)
    weights = np.exp(ratios - ratios.max(axis=1, keepdims=True))
    ess = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1) / ratios.shape[1]
    ess = np.where(usable, ess, 0.0)
    weights = [
        pareto_smoothed(row if known else np.full_like(row, -np.inf)) for row, known in zip(ratios, usable, strict=True)
    ]
    return {
        "ess": summary(ess),
        "healthy": float(np.mean([w.pareto_k <= 0.7 for w in weights])),
        "corrected": float(np.mean([judge(w)[0] == "corrected" for w in weights])),
    }


def run(name, num_rows, num_features, num_datasets, prior_sd, methods):
    """Rates one model at one size, and appends its row."""
    simulator = make_simulator(name, num_rows, num_features, prior_sd)
    network = posterity.informed(simulator, check=False).network
    trained, untrained = network.row_network, RowNetwork(key=random.key(0))
    laplace = jit(partial(laplace_draws, simulator.model))

    def by(row_network):
        bent = dataclasses.replace(network, row_network=row_network)
        return lambda dataset, key: drawn(bent(dataset), key)

    def by_laplace(dataset, key):
        anchor = dataclasses.replace(network, row_network=straight(untrained))
        return laplace(dataset, drawn(anchor(dataset), key)[0][0], key)

    ways = {"informed": by(trained), "theory": by(untrained), "anchor": by(straight(untrained)), "laplace": by_laplace}
    row = {"model": name, "rows": num_rows, "features": num_features, "datasets": num_datasets, "prior_sd": prior_sd}
    for way in methods:
        ratios, milliseconds = ratios_by(simulator, ways[way], num_rows, num_datasets, seed=1)
        row[way] = {**rate(ratios), "milliseconds": milliseconds}
        at = row[way]
        print(
            f"{name} ({num_rows}, {num_features}) {way}: ESS {at['ess']['median']:.3f} ({at['ess']['q05']:.3f}), "
            f"k-hat healthy {at['healthy']:.3f}, corrected {at['corrected']:.3f}, {milliseconds:.2f} ms",
            flush=True,
        )
    append(NAME, row)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS)
    parser.add_argument("--size", help="ROWS,FEATURES")
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--prior-sd", type=float)
    parser.add_argument("--methods", default="informed,theory,anchor,laplace")
    options = parser.parse_args()
    sizes = [tuple(map(int, options.size.split(",")))] if options.size else SIZES
    for num_rows, num_features in sizes:
        for name in [options.model] if options.model else MODELS:
            wanted = {"model": name, "rows": num_rows, "features": num_features, "prior_sd": options.prior_sd}
            if not read(NAME, lambda row, w=wanted: w.items() <= row.items()):
                run(name, num_rows, num_features, options.datasets, options.prior_sd, options.methods.split(","))


if __name__ == "__main__":
    main()
