"""Whether a dataset's sums say all that its likelihood asks of it, by the form of its log probabilities alone.

They do where every row's log likelihood is quadratic in the numbers of the row, responses and covariates together, at
any latents: of regressions with normal noise of one sd, known or not, and of normal means and covariances. Noise that
follows a column, or rows that weigh differently, are no such thing.
"""

import functools

import jax
import jax.numpy as jnp

from posterity.informed_posterior.read.graph import Dependence, trace_graph
from posterity.informed_posterior.read.predictors import dependence_of, log_probs_of
from posterity.model.dataset import Dataset
from posterity.model.model import Model

__all__ = ["sums_suffice"]

NUM_ROWS = 7


@functools.lru_cache(maxsize=128)
def sums_suffice(model: Model) -> bool:
    """Whether few rows of the same sums may stand for a dataset's rows, see `posterity.model.sums`.

    Args:
        model: The model, whose rows are exchangeable given the latents unless it says that they are not.
    """
    numbers = all(argument.dtype == "float32" and not argument.is_size for argument in model.arguments)
    if model.whole or model.groups or not numbers or not all(site.by_row for site in model.data_sites):
        return False
    found: list[bool] = []
    jax.eval_shape(lambda: found.append(_is_quadratic(model)))  # shapes are all that is needed
    return found[0]


def _is_quadratic(model: Model) -> bool:
    """Whether data sites are quadratic in the arguments, and latent sites do not depend on them."""
    space = model.space
    latents = {site.name: space.part(jnp.zeros(space.size), site.name) for site in space.sites}
    values = {a.name: jnp.zeros((NUM_ROWS, *a.shape), a.dtype) for a in model.arguments}
    dataset = Dataset(values, jnp.ones(NUM_ROWS, bool), model.plate_masks(model.capacity))
    graph, outputs = trace_graph(log_probs_of(model), latents, {}, dataset)
    kinds = graph.dependence(graph.inputs[len(latents) : len(latents) + len(values)])
    most = dict.fromkeys((site.name for site in space.sites), Dependence.GUARD)
    most |= dict.fromkeys((site.name for site in model.data_sites), Dependence.QUADRATIC)
    return all(dependence_of(output, kinds) <= most[name] for name, output in outputs.items())
