"""The one compiled program behind every answer: draws of q for a batch of datasets, each by its own key.

A batch has a fixed number of places, of which the first few are computed, so that one program serves one dataset and
many. Each dataset goes through the same instructions whatever stands beside it: its draws are the same bits alone, in
any batch and in any order.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.network import AmortizedPosterior
from posterity.informed_posterior.informed import InformedNetwork
from posterity.model.dataset import PLACES, Dataset
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit
from posterity.runtime.keys import dataset_key, for_purpose

__all__ = ["Drawn", "Network", "draw_batch"]

Network = AmortizedPosterior | InformedNetwork

DRAWS_TIMES_ROWS = 4_000_000  # log likelihoods held at once; more draws are taken in turns, to bound memory


class Drawn(NamedTuple):
    """Draws of q for one dataset.

    Attributes:
        z: Unconstrained, `(draw, latent)`; JAX arrays while compiled, NumPy ones once fetched, here and below.
        latents: In the latents' supports, plates at capacity.
        log_q: Log density of q, in nats, `(draw,)`.
        log_joint: Log prior + log likelihood + log-det, in nats, `(draw,)`.
        unsupported: Data argument -> rows whose value the model cannot produce.
    """

    z: Any
    latents: Mapping[str, Any]
    log_q: Any
    log_joint: Any
    unsupported: Mapping[str, Any]

    @property
    def log_ratios(self) -> Float[np.ndarray, " draw"]:
        """Log importance ratios, float64."""
        return self.log_joint.astype(np.float64) - self.log_q


def draw_batch(
    network: Network,
    model: Model,
    places: Dataset,
    root: PRNGKeyArray,
    words: Sequence[np.ndarray],
    num_draws: int,
) -> list[Drawn]:
    """Draws of q, their log densities and their log joint for some datasets of one padded size.

    Args:
        network: Trained or informed.
        model: The model.
        places: Some datasets, see `stack_places`.
        root: Key of all datasets.
        words: What tells each dataset's key from the others', see `dataset_words`.
        num_draws: Draws for each.
    """
    count = len(words)
    keys = np.stack([*words, *[words[0]] * (PLACES - count)])
    found = jax.device_get(_draw_places(network, model, places, root, jnp.asarray(keys), jnp.asarray(count), num_draws))
    return [Drawn(*jax.tree.map(lambda leaf, i=i: leaf[i], tuple(found))) for i in range(count)]


@filter_jit
def _draw_places(
    network: Network, model: Model, datasets: Dataset, root: PRNGKeyArray, words: Array, count: Array, num_draws: int
) -> Drawn:
    def one(i: Array) -> Drawn:
        dataset = jax.tree.map(lambda leaf: leaf[i], datasets)
        rng_key = for_purpose(dataset_key(root, words[i]), "draws")
        q = network(dataset, model.space.mask(dataset.plate_masks))
        z, log_q = q.sample_and_log_prob(rng_key, num_draws)
        log_joint = log_joints(model, z, dataset)
        return Drawn(z, vmap(model.space.constrain)(z), log_q, log_joint, model.unsupported_rows(dataset))

    def place(i: Array, found: Drawn) -> Drawn:
        return jax.tree.map(lambda all_places, own: all_places.at[i].set(own), found, one(i))

    shapes = jax.eval_shape(one, jnp.asarray(0))
    blank = jax.tree.map(lambda leaf: jnp.zeros((PLACES, *leaf.shape), leaf.dtype), shapes)
    return lax.fori_loop(0, count, place, blank)


def log_joints(model: Model, z: Float[Array, "draw latent"], dataset: Dataset) -> Float[Array, " draw"]:
    """Log joint of all draws of one dataset, so many side by side as memory allows."""
    at_once = max(1, DRAWS_TIMES_ROWS // dataset.row_mask.shape[0])
    if len(z) <= at_once:
        return vmap(model.log_joint, in_axes=(0, None))(z, dataset)
    return lax.map(lambda one: model.log_joint(one, dataset), z, batch_size=at_once)
