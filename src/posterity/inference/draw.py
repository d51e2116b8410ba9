"""The compiled programs behind every answer: draws of q for a batch of datasets, each by its own random numbers.

A batch has a fixed number of places, of which the first few are computed, so that one program serves one dataset and
many. Each dataset goes through the same instructions whatever stands beside it: its draws are the same bits alone, in
any batch and in any order.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.network import AmortizedPosterior
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.noise import AbstractNoisePosterior, BaseNoise, base_noise
from posterity.model.dataset import PLACES, Dataset, stack_places
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit, jit
from posterity.runtime.keys import dataset_generator, dataset_key, for_purpose, key_for
from posterity.runtime.precision import narrowed, precision

__all__ = ["Drawn", "Network", "draw_batch"]

Network = AmortizedPosterior | InformedNetwork
Tree = TypeVar("Tree")

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
    seed: int,
    words: Sequence[np.ndarray],
    num_draws: int,
) -> list[Drawn]:
    """Draws of q, their log densities and their log joint for some datasets of one padded size.

    Args:
        network: Trained or informed.
        model: The model.
        places: Some datasets, see `stack_places`.
        seed: Of all datasets.
        words: What tells each dataset's random numbers from the others', see `dataset_words`.
        num_draws: Draws for each.
    """
    count = np.int32(len(words))
    if isinstance(network, InformedNetwork):
        q = _informed(network, places, len(words))
        size = q.mask.shape[-1]
        generators = [dataset_generator(seed, own, "draws") for own in words]
        noise = [base_noise(rng, num_draws, size, q.num_uniform) for rng in generators]
        z, log_q = _bent(q, stack_places(noise), count)
    else:
        own = np.stack([*words, *[words[0]] * (PLACES - len(words))])
        with precision(False):  # as the network was trained
            short = jax.tree.map(narrowed, places)
            z, log_q = jax.device_get(_sampled(network, model, short, key_for(seed, "datasets"), own, count, num_draws))
    drawn = jax.device_get(_weighed(model, places, z, log_q, count))
    return [Drawn(*jax.tree.map(lambda leaf, i=i: leaf[i], tuple(drawn))) for i in range(len(words))]


def _informed(network: InformedNetwork, places: Dataset, count: int) -> AbstractNoisePosterior:
    """Informed posteriors of the first datasets of a batch, in as many places.

    So many are computed side by side as their size says, whether or not there are as many, and other datasets beside
    one change nothing.
    """
    at_once = network.places(places.row_mask.shape[1])
    parts = [
        network.posteriors(jax.tree.map(lambda leaf, k=k: leaf[k : k + at_once], places))
        for k in range(0, count, at_once)
    ]
    if at_once == PLACES:
        return parts[0]
    missing = PLACES // at_once - len(parts)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *jax.device_get([*parts, *[parts[0]] * missing]))


@partial(jit, effort="moderate")
def _bent(
    q: AbstractNoisePosterior, noise: BaseNoise, count: Array | np.integer
) -> tuple[Float[Array, "place draw latent"], Float[Array, "place draw"]]:
    """Draws of q and their log densities, in random order."""

    def one(i: Array) -> tuple[Array, Array]:
        own = jax.tree.map(lambda leaf: leaf[i], noise)
        z, log_q = jax.tree.map(lambda leaf: leaf[i], q).from_noise(own)
        return z[own.order], log_q[own.order]

    return _in_places(one, count)


@filter_jit
def _sampled(
    network: AmortizedPosterior,
    model: Model,
    places: Dataset,
    root: PRNGKeyArray,
    words: Array | np.ndarray,
    count: Array | np.integer,
    num_draws: int,
) -> tuple[Float[Array, "place draw latent"], Float[Array, "place draw"]]:
    """Draws of a trained q, and their log densities."""

    def one(i: Array) -> tuple[Array, Array]:
        dataset = jax.tree.map(lambda leaf: jnp.asarray(leaf)[i], places)
        rng_key = for_purpose(dataset_key(root, jnp.asarray(words)[i]), "draws")
        return network(dataset, model.space.mask(dataset.plate_masks)).sample_and_log_prob(rng_key, num_draws)

    return _in_places(one, count)


@partial(jit, static_argnums=0)
def _weighed(model: Model, places: Dataset, z: Array, log_q: Array, count: Array | np.integer) -> Drawn:
    """What the model says of draws, which may have padding beyond its latents."""

    def one(i: Array) -> Drawn:
        dataset = jax.tree.map(lambda leaf: leaf[i], places)
        own = z[i, :, : model.space.size]
        log_joint = log_joints(model, own, dataset)
        return Drawn(own, vmap(model.space.constrain)(own), log_q[i], log_joint, model.unsupported_rows(dataset))

    return _in_places(one, count)


def _in_places(one: Callable[[Array], Tree], count: Array | np.integer) -> Tree:
    """What is computed for each of the first places, one after the other; zeros for those beyond."""

    def place(i: Array, found: Tree) -> Tree:
        return jax.tree.map(lambda all_places, own: all_places.at[i].set(own), found, one(i))

    shapes = jax.eval_shape(one, jnp.asarray(0))
    blank = jax.tree.map(lambda leaf: jnp.zeros((PLACES, *leaf.shape), leaf.dtype), shapes)
    return lax.fori_loop(0, count, place, blank)


def log_joints(model: Model, z: Float[Array, "draw latent"], dataset: Dataset) -> Float[Array, " draw"]:
    """Log joint of all draws of one dataset, so many side by side as memory allows."""
    at_once = max(1, DRAWS_TIMES_ROWS // model.num_terms(dataset.row_mask.shape[0]))
    if len(z) <= at_once:
        return vmap(model.log_joint, in_axes=(0, None))(z, dataset)
    return lax.map(lambda one: model.log_joint(one, dataset), z, batch_size=at_once)
