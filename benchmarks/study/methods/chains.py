"""Langevin, HMC and NUTS on each test dataset: adapted, several chains, and judged by rank R-hat.

Langevin is HMC with a single leapfrog step, Metropolis-corrected. All three adapt step size and a diagonal mass in a
warm-up. Chains start at draws of the prior unless they are told to start at the truth.
"""

import time
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Float
from numpyro.infer import HMC, MCMC, NUTS

from posterity.model.dataset import Dataset
from posterity.runtime.compile import jit
from study.datasets import TestSet

__all__ = ["SAMPLERS", "ChainDraws", "prior_draws", "run_chains"]

MAX_R_HAT = 1.01
SAMPLERS = {
    "langevin": lambda potential: HMC(
        potential_fn=potential, num_steps=1, trajectory_length=None, target_accept_prob=0.574
    ),
    "hmc": lambda potential: HMC(potential_fn=potential, trajectory_length=1.5),
    "nuts": lambda potential: NUTS(potential_fn=potential, max_tree_depth=8),
}
STEPS = {"langevin": (2000, 8), "hmc": (1000, 1), "nuts": (1000, 8)}
"""Steps of warm-up, and steps between draws that are kept.

A Langevin step costs a small part of the others'. NUTS is what others are held against: with every draw kept, R-hat
stayed above 1.01 where latents hang together.
"""


class ChainDraws(NamedTuple):
    """Draws of all chains.

    Attributes:
        draws: Unconstrained, chains pooled draw by draw, shape `(dataset, draw, latent)`.
        r_hat: Largest rank R-hat of a latent, per dataset.
        seconds: Wall time for all, compilation included.
        compile_seconds: Of which compilation took so many.
    """

    draws: Float[np.ndarray, "dataset draw latent"]
    r_hat: Float[np.ndarray, " dataset"]
    seconds: float
    compile_seconds: float

    @property
    def converged(self) -> Float[np.ndarray, " dataset"]:
        """1 where R-hat is at most 1.01."""
        return (self.r_hat <= MAX_R_HAT).astype(float)


def run_chains(
    test: TestSet, sampler: str, *, num_draws: int, num_chains: int = 4, at_truth: bool = False, seed: int = 0
) -> ChainDraws:
    """Samples the posterior of every test dataset.

    Args:
        test: The datasets.
        sampler: Name in `SAMPLERS`.
        num_draws: Draws kept per chain.
        num_chains: Chains, side by side.
        at_truth: Start all chains at the latents that made the dataset, instead of at draws of the prior.
        seed: Decides everything drawn.
    """
    started = time.perf_counter()
    model, mask = test.model, test.latent_mask
    num_warmup, thinning = STEPS[sampler]

    def chains(dataset: Dataset, start: Array, key: Array) -> Array:
        def potential(z: Array) -> Array:
            inactive = jnp.sum(jnp.where(mask, 0.0, jnp.square(z)))  # proper, and nothing to the others
            return 0.5 * inactive - model.log_joint(z, dataset)

        mcmc = MCMC(
            SAMPLERS[sampler](potential),
            num_warmup=num_warmup,
            num_samples=num_draws * thinning,
            thinning=thinning,
            num_chains=num_chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(key, init_params=start)
        return mcmc.get_samples(group_by_chain=True)

    at = jnp.repeat(test.z[:, None], num_chains, axis=1)
    starts = at if at_truth else prior_draws(test, num_chains, seed)
    keys = random.split(random.key(seed), len(starts))
    inputs = (test.datasets, starts, keys)
    every = jit(lambda *a: lax.map(lambda b: chains(*b), a, batch_size=25)).lower(*inputs).compile()
    compile_seconds = time.perf_counter() - started
    found = every(*inputs)
    by_chain = np.where(np.asarray(mask), np.asarray(found), 0.0)  # (dataset, chain, draw, latent)
    pooled = np.swapaxes(by_chain, 1, 2).reshape(len(by_chain), -1, by_chain.shape[-1])
    seconds = time.perf_counter() - started
    return ChainDraws(pooled, _r_hats(by_chain[..., test.active]), seconds, compile_seconds)


def prior_draws(test: TestSet, num_draws: int, seed: int) -> Float[Array, "dataset draw latent"]:
    """Draws of the prior for every dataset."""
    model = test.model
    plates = {name: mask[0] for name, mask in test.datasets.plate_masks.items()}
    values = {name: array[0] for name, array in test.datasets.values.items()}
    covariates = {argument.name: values[argument.name] for argument in model.covariates}

    def draw(key: Array) -> Array:
        return model.sample_prior(key, covariates, test.datasets.row_mask.shape[1], plates)

    keys = random.split(random.key(1000 + seed), (len(test.z), num_draws))
    return jit(vmap(vmap(draw)))(keys)


def _r_hats(by_chain: Float[np.ndarray, "dataset chain draw latent"]) -> Float[np.ndarray, " dataset"]:
    from arviz_stats.base.array import array_stats

    return np.array([np.max(array_stats.rhat(one.astype(float), chain_axis=0, draw_axis=1)) for one in by_chain])
