"""NumPyro's NUTS run until it may stand as a reference: rank R-hat, bulk and tail ESS, no divergences."""

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
from jax import random
from metrics import moments
from numpyro import handlers, sample
from numpyro.infer import MCMC, NUTS
from numpyro.infer.reparam import Reparam

import posterity

__all__ = [
    "MAX_R_HAT",
    "MIN_ESS",
    "Chains",
    "Sampler",
    "compare",
    "make_sampler",
    "non_centred",
    "run_nuts",
    "to_gates",
]

MAX_R_HAT, MIN_ESS = 1.01, 400.0
NUM_CHAINS, TARGET_ACCEPT = 4, 0.95


def plain(values: Any) -> np.ndarray:
    """As 32-bit numbers."""
    values = np.asarray(values)
    return values.astype(np.float32 if np.issubdtype(values.dtype, np.floating) else np.int32)


class Standardised(Reparam):
    """Draws a normal site, of one number or of several, as standard normals, and maps them back to its own values."""

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[None, Any]:
        """The site's value from the auxiliary site `NAME_base`."""
        assert obs is None, f"'{name}' is observed"
        normal, expand_shape, event_dim = self._unwrap(fn)
        base = self._wrap(dist.Normal(0.0, 1.0).expand(normal.event_shape).to_event(), expand_shape, event_dim)
        drawn: Any = sample(f"{name}_base", base)
        if isinstance(normal, dist.MultivariateNormal):
            return None, normal.loc + (normal.scale_tril @ drawn[..., None])[..., 0]
        assert isinstance(normal, dist.Normal), f"'{name}' is {type(normal).__name__}"
        return None, normal.loc + normal.scale * drawn


def non_centred(model: Callable[..., Any], sites: Collection[str]) -> Callable[..., Any]:
    """The same joint of the same latents, with some sites drawn in units of their sds."""
    return handlers.reparam(model, config={site: Standardised() for site in sites}) if sites else model


@dataclasses.dataclass(frozen=True, eq=False)
class Chains:
    """What NUTS came to.

    Attributes:
        draws: Latent site -> draws, shape `(chain, draw, *site_shape)`, in its support.
        steps: Steps of warm-up and steps kept, of each chain.
        r_hat: Largest rank-normalised R-hat of all scalar latents.
        bulk_ess: Smallest bulk ESS, in draws of all chains.
        tail_ess: Smallest tail ESS.
        divergent: Divergent transitions after warm-up.
        seconds: Wall and CPU seconds, compilation included.
    """

    draws: Mapping[str, np.ndarray]
    steps: tuple[int, int]
    r_hat: float
    bulk_ess: float
    tail_ess: float
    divergent: int
    seconds: tuple[float, float]

    @property
    def passes(self) -> bool:
        """Whether it may stand as a reference."""
        return self.r_hat <= MAX_R_HAT and min(self.bulk_ess, self.tail_ess) >= MIN_ESS and self.divergent == 0

    @property
    def gates(self) -> dict[str, Any]:
        """What it was held against, for a row."""
        found = {"r_hat": round(self.r_hat, 4), "bulk_ess": round(self.bulk_ess), "tail_ess": round(self.tail_ess)}
        return {**found, "divergent": self.divergent, "passes": self.passes}

    @property
    def moments(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Latent site -> mean and sd, each in the shape of the site."""
        flat = {site: values.astype(np.float64) for site, values in self.draws.items()}
        return {site: (values.mean(axis=(0, 1)), values.std(axis=(0, 1))) for site, values in flat.items()}


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Chains of NUTS as one program, compiled once for all data of the same shapes.

    Attributes:
        program: Key and arguments -> latent site -> draws `(chain, draw, *site_shape)`, and which steps diverged.
        steps: Steps of warm-up and steps kept, of each chain.
    """

    program: Callable[[Any, Mapping[str, Any]], tuple[dict[str, Any], Any]]
    steps: tuple[int, int]


@functools.lru_cache(maxsize=32)
def make_sampler(
    model: Callable[..., Any],
    num_warmup: int = 1000,
    num_samples: int = 1000,
    *,
    num_chains: int = NUM_CHAINS,
    target_accept: float = TARGET_ACCEPT,
) -> Sampler:
    """NUTS on a model; the same for the same model object.

    Args:
        model: NumPyro model.
        num_warmup: Steps of adaptation of each chain.
        num_samples: Steps kept of each chain.
        num_chains: Chains, side by side.
        target_accept: Acceptance probability that the step size is tuned to.
    """
    sampler = MCMC(
        NUTS(model, target_accept_prob=target_accept),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )

    def run(rng_key: Any, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        sampler.run(rng_key, **arguments)
        return sampler.get_samples(group_by_chain=True), sampler.get_extra_fields()["diverging"]

    return Sampler(jax.jit(run), (num_warmup, num_samples))  # MCMC.run by itself compiles anew for other data


def run_nuts(
    sampler: Sampler, arguments: Mapping[str, np.ndarray], sites: Collection[str] | None = None, *, seed: int = 0
) -> Chains:
    """Runs the chains, and diagnoses them.

    Args:
        sampler: What `make_sampler` gave.
        arguments: Of its model.
        sites: Latent sites to keep and to judge by; all that vary if None.
        seed: Decides everything drawn.
    """
    started = time.perf_counter(), time.process_time()
    found, diverging = jax.device_get(sampler.program(random.key(seed), dict(arguments)))
    seconds = time.perf_counter() - started[0], time.process_time() - started[1]
    kept = {site: values for site, values in found.items() if sites is None or site in sites}
    r_hat, bulk, tail = diagnose(kept)
    return Chains(kept, sampler.steps, r_hat, bulk, tail, int(np.sum(diverging)), seconds)


def to_gates(
    ways: Collection[Callable[..., Any]],
    arguments: Mapping[str, np.ndarray],
    sites: Collection[str] | None = None,
    *,
    seconds: float = 600.0,
    steps: tuple[int, int] = (1000, 1000),
    seed: int = 0,
) -> Chains:
    """Chains that pass the gates if any do in the time: ways to write one joint in turn, then with twice the steps.

    Args:
        ways: Models of the same joint, the most promising first.
        arguments: Their arguments.
        sites: Latent sites to keep.
        seconds: No run starts that would end later, as far as the ones before tell.
        steps: Steps of warm-up and steps kept of each chain, at first.
        seed: Decides everything drawn.

    Returns:
        The chains that passed, else those that came nearest by R-hat.
    """
    started, ran = time.perf_counter(), []
    for doubling in range(4):
        for way in ways:
            longest = max((chains.seconds[0] for chains in ran), default=0.0) * (2.0 if doubling else 1.0)
            if ran and time.perf_counter() - started + longest > seconds:
                return min(ran, key=lambda chains: chains.r_hat)
            accept = TARGET_ACCEPT if doubling == 0 else 0.99
            warmup, kept = (number * 2**doubling for number in steps)
            sampler = make_sampler(way, warmup, kept, target_accept=accept)
            ran.append(run_nuts(sampler, arguments, sites, seed=seed))
            if ran[-1].passes:
                return ran[-1]
    return min(ran, key=lambda chains: chains.r_hat)


def diagnose(draws: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
    """Largest rank R-hat, smallest bulk and tail ESS of all scalars; draws have shape `(chain, draw, *site_shape)`."""
    from arviz_stats.base.array import array_stats  # here, since it takes a second

    r_hats, bulks, tails = [], [], []
    for values in draws.values():
        scalars = values.reshape(*values.shape[:2], -1).astype(np.float64)
        scalars = scalars[..., np.ptp(scalars, axis=(0, 1)) > 0.0]  # a Cholesky factor holds zeros and ones
        if scalars.shape[-1]:
            r_hats.append(np.max(array_stats.rhat(scalars, chain_axis=0, draw_axis=1)))
            bulks.append(np.min(array_stats.ess(scalars, chain_axis=0, draw_axis=1, method="bulk")))
            tails.append(np.min(array_stats.ess(scalars, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))))
    return float(np.max(r_hats)), float(np.min(bulks)), float(np.min(tails))


def compare(posterior: posterity.Posterior, exact: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Largest difference of means in sds of a reference, range of the ratios of sds, and where they are.

    Args:
        posterior: What is held against it.
        exact: Latent site -> means and sds.
    """
    sites, log_weights = posterior.weighted
    gaps, ratios = {}, {}
    for site, draws in sites.items():
        mean, sd = map(np.ravel, moments(draws, log_weights))
        exact_mean, exact_sd = map(np.ravel, exact[site])
        for i in np.flatnonzero(exact_sd > 0.0):  # a Cholesky factor holds zeros and ones
            gaps[f"{site}[{i}]"] = float(abs(mean[i] - exact_mean[i]) / exact_sd[i])
            ratios[f"{site}[{i}]"] = float(sd[i] / exact_sd[i])
    return {
        "mean_gap": max(gaps.values()),
        "mean_gap_at": max(gaps, key=lambda label: gaps[label]),
        "sd_ratio": [min(ratios.values()), max(ratios.values())],
        "sd_ratio_at": max(ratios, key=lambda label: abs(np.log(ratios[label]))),
    }
