"""Refining where q's weights are unhealthy: verdicts and time against long NUTS, and whether the clock is kept.

    python benchmarks/refining.py groups     # group effects written non-centred, 40 datasets, 10 s each
    python benchmarks/refining.py funnel     # two of Neal's funnels with a budget of 1 s, 5 times

`groups` is the hardest case of `informed_any.py`: two scale latents. Each posterior is held against NUTS (4 x 2500
draws, target acceptance 0.95): largest difference of a latent's mean in sds of NUTS, range of the ratios of sds;
accepted falsely means `corrected` or `refined` with a mean off by more than 0.25 sd or an sd off by 25%. Compilation is
not counted. Rows go to `results/refining.jsonl`.
"""

import argparse
import time

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from informed_any import groups
from jax import random
from metrics import moments
from numpyro.infer import MCMC, NUTS
from rows import append

import posterity
from posterity.runtime.compile import jit

NAME = "refining"


def all_moments(draws, log_weights, names):
    """Means and sds of all scalar latents, weighted."""
    found = [moments(draws[name], log_weights) for name in names]
    return [np.concatenate([np.ravel(one) for one in part]) for part in zip(*found, strict=True)]


def against_nuts(num_datasets, seconds):
    """Verdicts on datasets from the model's own joint."""
    example = {"x": np.zeros((64, 8), np.float32), "y": np.zeros(64, np.float32)}
    envelope = posterity.Envelope((64, 64))
    simulator = posterity.build_simulator(groups, example, envelope, covariates="normal", check=False)
    estimator = posterity.informed(simulator, check=False)
    names = [site.name for site in estimator.model.space.sites]

    @jit
    def by_nuts(key, values):
        sampler = MCMC(
            NUTS(groups, target_accept_prob=0.95), num_warmup=1000, num_samples=2500, num_chains=4,
            chain_method="vectorized", progress_bar=False,
        )  # fmt: skip
        sampler.run(key, **values)
        return sampler.get_samples()

    verdicts, false, ours = [], 0, []
    for i in range(num_datasets):
        dataset = simulator.simulate(random.key(i), jnp.ones(64, bool), {})[0].values
        values = {name: np.asarray(value) for name, value in dataset.items()}
        posterior = estimator.infer(values, num_draws=4000, seed=i, refine_seconds=seconds)
        spent = posterior.refinement.seconds if posterior.refinement else 0.0
        found = by_nuts(random.key(i), dataset)
        mean, sd = all_moments(*posterior.weighted, names)
        exact_mean, exact_sd = all_moments(found, None, names)
        gap, ratio = np.max(np.abs(mean - exact_mean) / exact_sd), sd / exact_sd
        wrong = gap > 0.25 or ratio.min() < 0.75 or ratio.max() > 1.25
        false += posterior.verdict != "untrusted" and wrong
        verdicts.append(posterior.verdict)
        ours.append(spent)
        ratios = f"{ratio.min():.2f}..{ratio.max():.2f}"
        print(f"{i} {posterior.verdict}: gap {gap:.3f}, sd ratio {ratios}, {spent:.1f} s", flush=True)
    share = {verdict: verdicts.count(verdict) / num_datasets for verdict in ("corrected", "refined", "untrusted")}
    row = {"case": "groups", "datasets": num_datasets, "budget": seconds, **share, "falsely_accepted": int(false)}
    append(NAME, {**row, "seconds_median": float(np.median([s for s in ours if s] or [0.0]))})
    print(row)


def funnel(y=None):
    """Two of Neal's funnels, hardly touched by their data: one alone is anchored anew at each scale, and easy."""
    v = numpyro.sample("v", dist.Normal(jnp.zeros(2), 3.0))
    first = numpyro.sample("first", dist.Normal(jnp.zeros(9), jnp.exp(v[0] / 2.0)))
    second = numpyro.sample("second", dist.Normal(jnp.zeros(9), jnp.exp(v[1] / 2.0)))
    numpyro.sample("y", dist.Normal(jnp.mean(first) + jnp.mean(second), 10.0), obs=y)


def clock():
    """Wall time of `infer` on a funnel with one second to refine, once compiled."""
    data = {"y": np.array([0.3, -0.1], np.float32)}
    estimator = posterity.informed(funnel, data)
    estimator.infer(data, refine_seconds=0.2)  # compiles
    times, verdicts = [], []
    for seed in range(5):
        started = time.perf_counter()
        verdicts.append(estimator.infer(data, seed=seed, refine_seconds=1.0).verdict)
        times.append(time.perf_counter() - started)
    append(NAME, {"case": "funnel", "budget": 1.0, "seconds": times, "verdicts": verdicts})
    print("funnel", [round(t, 2) for t in times], verdicts)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=("groups", "funnel"))
    parser.add_argument("--datasets", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    if options.case == "groups":
        against_nuts(options.datasets, options.seconds)
    else:
        clock()


if __name__ == "__main__":
    main()
