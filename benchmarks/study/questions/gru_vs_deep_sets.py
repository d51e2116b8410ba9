"""GRU against DeepSets at equal numbers of weights: is it the pooling, as the paper supposes, or the size?

In the paper a GRU beats DeepSets; it supposes that a fixed average limits what an embedding can hold. But its networks
differ in size, too (a GRU of 256 units, DeepSets of 627), and neither hands the data's moments on. Here the width of
the GRU is chosen so that both encoders have equally many weights.

Our encoders also get the averages of rows and of their products directly ("shortcuts"), which removes the bottleneck in
question: a linear regression's posterior is a function of those. `bare` takes them away again, so that DeepSets has
nothing but the average of its features and the GRU nothing but its last state, as in the paper.
"""

import bisect
import itertools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Bool, Float

from posterity.amortized.encoders import GRU, AbstractEncoder, DeepSets
from posterity.amortized.network import build_network
from study.datasets import make_test_set
from study.job import Job
from study.methods import networks
from study.presets import PRESETS
from study.questions.shared import judge, order_sensitivity, train_network
from study.tasks import SETTINGS

__all__ = ["Bare", "do", "encoder_size", "jobs", "make_encoder"]

WHERE = ("lr_2d", "nlr_1d")
ENCODERS, SHORTCUTS = ("deep_sets", "gru"), ("shortcuts", "bare")
MOST_APART = 0.02


class Bare(AbstractEncoder):
    """An encoder without shortcuts: its last linear map reads the average of the features, or the state, alone.

    Attributes:
        inner: The encoder.
        embedding_size: Of it.
    """

    inner: DeepSets | GRU
    embedding_size: int = eqx.field(static=True)

    def __init__(self, inner: DeepSets | GRU):
        self.inner = inner
        self.embedding_size = inner.embedding_size

    @property
    def kept(self) -> Bool[np.ndarray, " input"]:
        """True for the inputs of the last map that are no shortcuts."""
        width = self.inner.lift.linear.out_features
        start = width if isinstance(self.inner, DeepSets) else 0  # behind the average of the lifted rows
        place = np.arange(self.inner.project.in_features)
        return (start <= place) & (place < start + width)

    def __call__(self, rows: Float[Array, "obs feature"], mask: Bool[Array, " obs"]) -> Float[Array, " embedding"]:
        """Embedding of one dataset."""
        weight = jnp.where(self.kept, self.inner.project.weight, 0.0)
        return eqx.tree_at(lambda encoder: encoder.project.weight, self.inner, weight)(rows, mask)


def encoder_size(encoder: AbstractEncoder) -> int:
    """Number of weights that count: those of removed shortcuts do not."""
    size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(encoder) if hasattr(leaf, "shape"))
    return size - (int(np.sum(~encoder.kept)) * encoder.embedding_size if isinstance(encoder, Bare) else 0)


def make_encoder(name: str, shortcuts: str, preset: str, feature_size: int, key: Array) -> AbstractEncoder:
    """DeepSets of the preset, or the GRU that comes closest to it in size."""
    options, depth = networks.ENCODER_OPTIONS[preset]["deep_sets"], networks.ENCODER_OPTIONS[preset]["gru"]["depth"]

    def deep_sets() -> AbstractEncoder:
        inner = DeepSets(feature_size, **options, key=key)
        return Bare(inner) if shortcuts == "bare" else inner

    def gru(width: int) -> AbstractEncoder:
        inner = GRU(feature_size, width=width, depth=depth, embedding_size=options["embedding_size"], key=key)
        return Bare(inner) if shortcuts == "bare" else inner

    def gap(width: int) -> float:
        return encoder_size(eqx.filter_eval_shape(gru, width)) / encoder_size(eqx.filter_eval_shape(deep_sets)) - 1.0

    if name == "deep_sets":
        return deep_sets()
    widths = range(1, 4 * options["width"])
    larger = bisect.bisect_left(widths, 0.0, key=gap)
    width = min(widths[larger - 1 : larger + 1], key=lambda width: abs(gap(width)))
    assert abs(gap(width)) <= MOST_APART, f"the closest GRU is {gap(width):.1%} apart in size"
    return gru(width)


def jobs(seed: int) -> Iterator[Job]:
    """Both encoders on both tasks, with shortcuts and without."""
    for setting, shortcuts, encoder in itertools.product(WHERE, SHORTCUTS, ENCODERS):
        yield Job("question", setting, f"gru_vs_deep_sets/{encoder}/{shortcuts}", seed)


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """One network: diagonal Gaussian, reverse KL."""
    setting, sizes = SETTINGS[job.setting], PRESETS[preset]
    (task,) = setting.tasks
    _, name, shortcuts = job.method.split("/")
    architecture = networks.architecture(preset, "deep_sets", "diagonal")
    network = build_network(setting.simulator(), architecture, rng_key=random.key(job.seed))
    encoder = make_encoder(name, shortcuts, preset, network.features.feature_size, random.key(job.seed))
    network = eqx.tree_at(lambda network: network.encoder, network, encoder)
    estimator = train_network(setting, preset, network, networks.objective("reverse"), job.seed)
    test = make_test_set(setting.simulator(), task, sizes.num_datasets)
    judged = judge(estimator, test, setting, sizes)
    judged["metrics"] |= order_sensitivity(estimator, test)
    return [judged | {"encoder_weights": encoder_size(encoder)}]
