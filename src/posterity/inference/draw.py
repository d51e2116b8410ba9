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
from jaxtyping import Array, Float

from posterity.amortized.families.base import AbstractNoisePosterior, AbstractTransport, WideDraws
from posterity.amortized.families.noise import BaseNoise, base_noise, base_noises
from posterity.amortized.families.symmetrised import SymmetrisedPosterior
from posterity.amortized.network import AmortizedPosterior
from posterity.informed_posterior.informed import InformedNetwork, InformedPosterior
from posterity.informed_posterior.read.symmetry import symmetries
from posterity.model.dataset import Dataset, stack_places
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit, jit
from posterity.runtime.keys import dataset_generator
from posterity.runtime.precision import narrowed, precision

__all__ = ["Drawer", "Drawn", "Network", "symmetrised"]

Network = AmortizedPosterior | InformedNetwork
Tree = TypeVar("Tree")

DRAWS_TIMES_ROWS = 4_000_000  # log likelihoods held at once; more draws are taken in turns, to bound memory


class Drawn(NamedTuple):
    """Draws of q for one dataset, and of its wider share behind them.

    Attributes:
        z: Unconstrained, `(draw, latent)`; JAX arrays while compiled, NumPy ones once fetched, here and below.
        latents: In the latents' supports, plates at capacity.
        log_q: Log density of q, in nats, `(draw,)`.
        log_wider: Log density of the wider draws over that of q, in nats, `(draw,)`.
        log_joint: Log prior + log likelihood + log-det, in nats, `(draw,)`.
        unsupported: Data argument -> rows whose value the model cannot produce.
    """

    z: Any
    latents: Mapping[str, Any]
    log_q: Any
    log_wider: Any
    log_joint: Any
    unsupported: Mapping[str, Any]


class Drawer:
    """Draws for the datasets of one batch, in rounds: q is computed once, and each round has noise of its own."""

    def __init__(self, network: Network, model: Model, places: Dataset, seed: int, words: Sequence[np.ndarray]):
        """The posteriors of a batch.

        Args:
            network: Trained or informed.
            model: The model.
            places: Some datasets, see `stack_places`.
            seed: Of all datasets.
            words: What tells each dataset's random numbers from the others', see `dataset_words`.
        """
        self._model, self._places, self._seed, self._words = model, places, seed, words
        self._q = _informed(network, places, len(words)) if isinstance(network, InformedNetwork) else None
        self._network = network
        self._maps = None if isinstance(network, InformedNetwork) else symmetries(model)

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Normal numbers, uniform numbers and scores of each draw, as `base_noise` takes them."""
        if self._q is None:
            return self._model.space.size, 0 if self.is_plain else 1, 0
        return self._q.mask.shape[-1], self._q.num_uniform, self._q.num_scores

    @property
    def is_plain(self) -> bool:
        """Whether q moves one normal number for each latent, and takes nothing else."""
        if self._q is None:
            return self._maps is None or len(self._maps[0]) == 1
        return self._q.num_uniform == 0

    def active(self, i: int) -> np.ndarray:
        """True for the active latents of a dataset."""
        masks = {name: leaf[i] for name, leaf in self._places.plate_masks.items()}
        return np.asarray(self._model.space.mask(masks))

    def generator(self, i: int, purpose: str) -> np.random.Generator:
        """Random numbers of a dataset.

        Args:
            i: Its place.
            purpose: What they are for.
        """
        return dataset_generator(self._seed, self._words[i], purpose)

    def noise(self, i: int, turn: int, num_draws: int) -> BaseNoise:
        """Base noise of a dataset in one round.

        Args:
            i: Its place.
            turn: Round.
            num_draws: Draws of q, see `base_noise`.
        """
        rng = self.generator(i, f"draws {turn}" if turn else "draws")
        return base_noise(rng, num_draws, *self.numbers)

    def all_noise(self, num_draws: int) -> BaseNoise:
        """Base noise of all datasets in the first round, along a leading axis of places.

        Args:
            num_draws: Draws of q, see `base_noise`.
        """
        rngs = [self.generator(i, "draws") for i in range(len(self._words))]
        noise = base_noises(rngs, num_draws, *self.numbers)
        missing = len(self._places.row_mask) - len(rngs)
        return jax.tree.map(lambda leaf: np.concatenate([leaf, leaf[:1].repeat(missing, axis=0)]), noise)

    def draw(self, which: Sequence[int], noise: Sequence[BaseNoise]) -> list[Drawn]:
        """Draws of some datasets of the batch, their log densities and their log joint.

        Args:
            which: Their places.
            noise: Of each.
        """
        if len(self._places.row_mask) == 1 < len(which):
            return [self.draw([i], [own])[0] for i, own in zip(which, noise, strict=True)]
        places, q = self._places, self._q
        if list(which) != list(range(len(self._words))):
            chosen = np.resize(which, len(places.row_mask))
            places, q = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], (places, q))
        drawn = self._drawn(places, q, stack_places(noise, len(places.row_mask)), len(which))
        return [Drawn(*jax.tree.map(lambda leaf, i=i: leaf[i], tuple(drawn))) for i in range(len(which))]

    def draw_all(self, noise: BaseNoise) -> Drawn:
        """The same of all datasets, along a leading axis of places.

        Args:
            noise: Of all places.
        """
        return self._drawn(self._places, self._q, noise, len(self._words), bent=_bent_of_many)

    def _drawn(
        self,
        places: Dataset,
        q: InformedPosterior | None,
        stacked: BaseNoise,
        number: int,
        bent: Callable[[InformedPosterior, BaseNoise, np.integer], WideDraws] | None = None,
    ) -> Drawn:
        count = np.int32(number)
        if q is not None:
            draws = (bent or _bent)(q, stacked, count)
        else:
            with precision(False):  # as the network was trained
                short = jax.tree.map(narrowed, places)
                draws = _bent_of_trained(self._network, self._model, self._maps, short, stacked, count)
                draws = jax.device_get(draws)
        draws, weighed = jax.device_get((draws, _weighed(self._model, places, draws.z, count)))
        latents, log_joint, unsupported = weighed
        z = draws.z[:, :, : self._model.space.size]  # q's may have padding
        return Drawn(z, latents, draws.log_q, draws.log_wider, log_joint, unsupported)


def _informed(network: InformedNetwork, places: Dataset, count: int) -> InformedPosterior:
    """Informed posteriors of the first datasets of a batch, in as many places.

    So many are computed side by side as their size says, whether or not there are as many, and other datasets beside
    one change nothing.
    """
    total, num_rows = places.row_mask.shape
    if total == 1:
        return network.posteriors(places)
    at_once = network.places(num_rows, total)
    parts = [
        network.posteriors(jax.tree.map(lambda leaf, k=k: leaf[k : k + at_once], places), by_themselves=False)
        for k in range(0, count, at_once)
    ]
    if at_once == total:
        return parts[0]
    missing = total // at_once - len(parts)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *jax.device_get([*parts, *[parts[0]] * missing]))


@partial(jit, effort="moderate")
def _bent(q: InformedPosterior, noise: BaseNoise, count: Array | np.integer) -> WideDraws:
    """Draws of informed posteriors along a leading axis of places."""
    one = lambda i: _handed_out(*jax.tree.map(lambda leaf: leaf[i], (q, noise)))  # noqa: E731
    return _in_places(one, count, len(noise.order))


_bent_of_many = jit(lambda q, noise, count: _bent(q, noise, count))  # twice as fast, for four times the compilation


@filter_jit
def _bent_of_trained(
    network: AmortizedPosterior,
    model: Model,
    maps: tuple[Any, Any],
    places: Dataset,
    noise: BaseNoise,
    count: Array | np.integer,
) -> WideDraws:
    """Draws of trained posteriors along a leading axis of places, in all labellings of the model."""

    def one(i: Array) -> WideDraws:
        dataset, own = jax.tree.map(lambda leaf: jnp.asarray(leaf)[i], (places, noise))
        return _handed_out(symmetrised(network, model, maps, dataset), own)

    return _in_places(one, count, len(noise.order))


def symmetrised(
    network: AmortizedPosterior, model: Model, maps: tuple[Any, Any], dataset: Dataset
) -> AbstractNoisePosterior:
    """A trained posterior in all labellings.

    Args:
        network: Trained.
        model: The model.
        maps: Its `symmetries`.
        dataset: Padded dataset.
    """
    q = network(dataset, model.space.mask(dataset.plate_masks))
    assert isinstance(q, AbstractTransport)
    return q if len(maps[0]) == 1 else SymmetrisedPosterior(q, jnp.asarray(maps[0]), jnp.asarray(maps[1]))


def _handed_out(q: AbstractNoisePosterior, noise: BaseNoise) -> WideDraws:
    return jax.tree.map(lambda leaf: leaf[noise.order], q.from_noise(noise))


@partial(jit, static_argnums=0)
def _weighed(model: Model, places: Dataset, z: Array, count: Array | np.integer) -> tuple[Any, Array, Any]:
    """What the model says of draws, which may have padding beyond its latents: see `Drawn`."""

    def one(i: Array) -> tuple[Any, Array, Any]:
        dataset, own = jax.tree.map(lambda leaf: leaf[i], places), z[i, :, : model.space.size]
        return vmap(model.space.constrain)(own), log_joints(model, own, dataset), model.unsupported_rows(dataset)

    return _in_places(one, count, len(z))


def _in_places(one: Callable[[Array], Tree], count: Array | np.integer, total: int) -> Tree:
    """What is computed for each of the first places, one after the other; zeros for those beyond."""
    if total == 1:
        return jax.tree.map(lambda leaf: leaf[None], one(jnp.asarray(0)))

    def place(i: Array, found: Tree) -> Tree:
        return jax.tree.map(lambda all_places, own: all_places.at[i].set(own), found, one(i))

    shapes = jax.eval_shape(one, jnp.asarray(0))
    blank = jax.tree.map(lambda leaf: jnp.zeros((total, *leaf.shape), leaf.dtype), shapes)
    return lax.fori_loop(0, count, place, blank)


def log_joints(model: Model, z: Float[Array, "draw latent"], dataset: Dataset) -> Float[Array, " draw"]:
    """Log joint of all draws of one dataset, so many side by side as memory allows."""
    at_once = max(1, DRAWS_TIMES_ROWS // model.num_terms(dataset.row_mask.shape[0]))
    if len(z) <= at_once:
        return vmap(model.log_joint, in_axes=(0, None))(z, dataset)
    return lax.map(lambda one: model.log_joint(one, dataset), z, batch_size=at_once)
