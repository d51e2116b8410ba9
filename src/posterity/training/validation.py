"""How good an estimator is on held-out datasets of its stream, judged by the log joint."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float, Key, PRNGKeyArray

from posterity.amortized.network import AmortizedPosterior
from posterity.runtime.compile import filter_jit
from posterity.simulation.simulator import Simulator
from posterity.training.stream import DatasetStream, draw_sizes
from posterity.trust.verdict import pareto_k_limit
from posterity.trust.weights import ess_fraction, pareto_smoothed

__all__ = ["Validation", "validate"]


@dataclasses.dataclass(frozen=True)
class Validation:
    """Quality on held-out datasets of the training stream.

    Attributes:
        forward_nll: Mean of -log q(z) at the latents that made each dataset, in nats; None without latents.
        symmetric_kl: Mean over datasets of KL(p‖q) + KL(q‖p), in nats: of log joint - log q at the latents that made
            each dataset, minus the same at draws of q. It sees what q misses. None without latents.
        elbo: Mean over datasets of E_q[log joint - log q], in nats.
        ess_fraction: Median over datasets of the importance ESS as a share of the draws.
        ess_fraction_q05: Its 5% quantile.
        pareto_k: Median of the Pareto k-hat.
        healthy: Share of datasets whose k-hat is within the limit.
        num_datasets: Datasets used.
        num_draws: Draws per dataset.
    """

    forward_nll: float | None
    symmetric_kl: float | None
    elbo: float
    ess_fraction: float
    ess_fraction_q05: float
    pareto_k: float
    healthy: float
    num_datasets: int
    num_draws: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def validate(
    simulator: Simulator,
    network: AmortizedPosterior,
    stream: DatasetStream,
    *,
    rng_key: PRNGKeyArray,
    num_datasets: int = 64,
    num_draws: int = 200,
) -> Validation:
    """Draws datasets from the stream and compares q with the log joint on draws of q.

    Args:
        simulator: Gives the log joint.
        network: The amortized posterior.
        stream: Where datasets come from.
        rng_key: Fixes the datasets; pass the same key to compare networks.
        num_datasets: Datasets.
        num_draws: Draws per dataset.
    """
    keys = random.split(rng_key, num_datasets)
    ratios, log_q, log_joint = _log_ratios(network, simulator, stream, keys, num_draws)
    ratios, log_q, log_joint = (np.asarray(part, np.float64) for part in (ratios, log_q, log_joint))
    weights = [pareto_smoothed(row) for row in ratios]
    pareto_k = np.array([w.pareto_k for w in weights])
    fractions = np.array([ess_fraction(row) for row in ratios])
    return Validation(
        forward_nll=float(-np.mean(log_q)) if stream.has_latents else None,
        symmetric_kl=_finite(float(np.mean(log_joint - log_q) - np.mean(ratios))) if stream.has_latents else None,
        elbo=float(np.mean(ratios)),
        ess_fraction=float(np.median(fractions)),
        ess_fraction_q05=float(np.quantile(fractions, 0.05)),
        pareto_k=float(np.median(pareto_k)),
        healthy=float(np.mean(pareto_k <= pareto_k_limit(num_draws))),
        num_datasets=num_datasets,
        num_draws=num_draws,
    )


def _finite(kl: float) -> float:
    """Where q has no density at all at a truth, a number that JSON can hold, too."""
    return kl if np.isfinite(kl) else 1e9


@filter_jit
def _log_ratios(
    network: AmortizedPosterior, simulator: Simulator, stream: DatasetStream, keys: Key[Array, " batch"], num_draws: int
) -> tuple[Float[Array, "batch draw"], Float[Array, " batch"], Float[Array, " batch"]]:
    """Log joint - log q at draws of q, and both at the true latents (0 without)."""
    low, high = simulator.envelope.rows

    def one(rng_key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        key_sizes, key_draw, key_q = random.split(rng_key, 3)
        num_rows, sizes = draw_sizes(simulator, key_sizes, low, high)
        masks = simulator.model.plate_masks(sizes)
        dataset, z = stream.draw(simulator, key_draw, jnp.arange(high) < num_rows, masks)
        q = network(dataset, simulator.model.space.mask(masks))
        draws, log_q = q.sample_and_log_prob(key_q, num_draws)
        log_joint = jax.vmap(simulator.model.log_joint, in_axes=(0, None))(draws, dataset)
        if z is None:
            return log_joint - log_q, jnp.zeros(()), jnp.zeros(())
        return log_joint - log_q, q.log_prob(z), simulator.model.log_joint(z, dataset)

    return lax.map(one, keys, batch_size=8)  # a few datasets at a time: draws x rows x datasets may be large
