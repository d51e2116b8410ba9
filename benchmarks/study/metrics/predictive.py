"""What one draw of the latents predicts for held-out rows, and how far off it is (paper, App. D)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, Float
from numpyro import handlers

import posterity
from posterity.model.dataset import Dataset

__all__ = ["Predicted", "predict_rows"]


class Predicted(NamedTuple):
    """Of one draw, for every held-out row.

    Attributes:
        score: Squared distance from the prediction, summed over dimensions; or 1 where the class is right.
        log_prob: Log density or probability of the row, in nats.
        prediction: The predicted value, or the class probabilities, for averaging over draws; empty for mixtures,
            whose components have no order.
    """

    score: Float[Array, " obs"]
    log_prob: Float[Array, " obs"]
    prediction: Float[Array, "obs ..."]


def predict_rows(model: posterity.Model, z: Float[Array, " latent"], held_out: Dataset) -> Predicted:
    """Predictions of one draw: the mean of a Gaussian, the likeliest class, the nearest component's mean.

    Args:
        model: The model, with one data site.
        z: Unconstrained draw.
        held_out: Rows to predict, none padded.
    """
    (site,) = model.data_sites
    seeded = handlers.seed(handlers.substitute(model.function, model.space.constrain(z)), random.key(0))
    fn = handlers.trace(seeded).get_trace(**held_out.values)[site.name]["fn"]
    observed = held_out.values[site.argument]
    log_prob = jnp.sum(jnp.reshape(model.log_likelihood(z, held_out), (len(observed), -1)), axis=1)
    return _predicted(fn, observed, log_prob)


def _predicted(fn: Any, observed: Array, log_prob: Array) -> Predicted:
    while isinstance(fn, dist.ExpandedDistribution):  # a plate wraps what is the same for all rows
        fn = fn.base_dist
    if isinstance(fn, dist.MixtureSameFamily):
        means = fn.component_distribution.mean  # (component, dim)
        gaps = jnp.sum(jnp.square(observed[:, None, :] - means), axis=-1)
        return Predicted(jnp.min(gaps, axis=1), log_prob, jnp.zeros((len(observed), 0)))
    if isinstance(fn, dist.BernoulliLogits):
        correct = (fn.logits > 0.0) == (observed > 0)
        return Predicted(correct.astype(jnp.float32), log_prob, jnp.stack([1.0 - fn.probs, fn.probs], axis=-1))
    if isinstance(fn, dist.CategoricalLogits):
        correct = jnp.argmax(fn.logits, axis=-1) == observed
        return Predicted(correct.astype(jnp.float32), log_prob, fn.probs)
    loc = jnp.broadcast_to(fn.mean, observed.shape)
    gaps = jnp.sum(jnp.reshape(jnp.square(observed - loc), (len(observed), -1)), axis=1)
    return Predicted(gaps, log_prob, loc)
