"""The reference that answers are held against: NumPyro's NUTS on the same model and the same dataset."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, PRNGKeyArray

from posterity.model.intake import own_program, read_arrays
from posterity.model.model import Model
from posterity.runtime.compile import jit
from posterity.runtime.plain import told_arrays
from posterity.runtime.status import working

__all__ = ["MAX_R_HAT", "NutsReference", "diagnose_chains", "nuts_reference"]

MAX_R_HAT = 1.01


@dataclass(frozen=True, eq=False)
class NutsReference:
    """Draws of NUTS, and whether its chains agree.

    Attributes:
        draws: Latent site -> draws of all chains, shape `(draw, *site_shape)`, in the support.
        max_r_hat: Largest rank-normalised R-hat of all scalar latents.
        min_ess: Smallest bulk effective sample size, in draws.
        num_divergent: Divergent transitions after warm-up.
        num_chains: Chains.
        seconds: Wall time, compilation included.
    """

    draws: Mapping[str, np.ndarray]
    max_r_hat: float
    min_ess: float
    num_divergent: int
    num_chains: int
    seconds: float

    def __repr__(self) -> str:
        return (
            f"NutsReference({told_arrays(self.draws)}; {self.num_chains} chains, R-hat {self.max_r_hat:.3f}, "
            f"ESS {self.min_ess:.0f}, {self.num_divergent} divergent, {self.seconds:.1f} s)"
        )

    @property
    def converged(self) -> bool:
        """Whether R-hat allows to take it as a reference."""
        return self.max_r_hat <= MAX_R_HAT


def nuts_reference(
    model: Model,
    dataset: Mapping[str, Any],
    *,
    seed: int = 0,
    num_warmup: int = 1000,
    num_draws: int = 1000,
    num_chains: int = 4,
) -> NutsReference:
    """Runs NUTS on the model as it is written, without padding, masks or anything else of ours.

    Args:
        model: Whose model to run.
        dataset: Argument name -> array with rows first.
        seed: Decides everything drawn.
        num_warmup: Steps of adaptation per chain.
        num_draws: Draws kept per chain.
        num_chains: Chains, run side by side.

    Raises:
        InputError: The dataset does not fit the model.
    """
    from numpyro.infer import MCMC, NUTS

    started = time.perf_counter()
    given = read_arrays(model, dataset)
    program = own_program(model, given)
    arrays = {name: jnp.asarray(array) for name, array in given.items()}
    sampler = MCMC(
        NUTS(program, target_accept_prob=0.9),
        num_warmup=num_warmup,
        num_samples=num_draws,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )

    def run(rng_key: PRNGKeyArray, arrays: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
        sampler.run(rng_key, **arrays)
        return sampler.get_samples(group_by_chain=True), sampler.get_extra_fields()["diverging"]

    with working("compiling and running NUTS"):
        # NumPyro's own call would be compiled without our options.
        chains, diverging = jax.device_get(jit(run)(random.key(seed), arrays))
    kept = {site.name: np.asarray(chains[site.name]) for site in model.space.sites}
    r_hats, sizes = diagnose_chains(kept)
    return NutsReference(
        draws={name: values.reshape(-1, *values.shape[2:]) for name, values in kept.items()},
        max_r_hat=max(r_hats),
        min_ess=min(sizes),
        num_divergent=int(np.sum(diverging)),
        num_chains=num_chains,
        seconds=time.perf_counter() - started,
    )


def diagnose_chains(chains: Mapping[str, np.ndarray]) -> tuple[list[float], list[float]]:
    """R-hat and bulk ESS of every scalar latent; chains have shape `(chain, draw, *site_shape)`."""
    from arviz_stats.base.array import array_stats  # here, since it takes a second

    r_hats: list[float] = []
    sizes: list[float] = []
    for values in chains.values():
        scalars = values.reshape(*values.shape[:2], -1).astype(np.float64)
        varies = np.ptp(scalars, axis=(0, 1)) > 0.0  # a Cholesky factor holds zeros and ones
        r_hats += np.ravel(array_stats.rhat(scalars[..., varies], chain_axis=0, draw_axis=1)).tolist()
        sizes += np.ravel(array_stats.ess(scalars[..., varies], chain_axis=0, draw_axis=1)).tolist()
    return r_hats, sizes
