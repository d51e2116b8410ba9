"""Means, standard deviations and quantiles of weighted draws."""

import math
from collections.abc import Mapping

import numpy as np

from posterity.results.data import PosteriorData
from posterity.trust.moments import moments_and_quantiles

__all__ = [
    "LEVELS",
    "Summary",
    "columns_as_usual",
    "summarise",
    "summarise_as_usual",
    "summarise_in_table_units",
    "summarise_posterior",
    "usual_summary",
]

Summary = dict[str, dict[str, float]]
"""Label of a scalar latent to its `mean`, `sd`, `q05`, `q50` and `q95`."""

_QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
LEVELS = tuple(_QUANTILES.values())


def summarise(
    draws: Mapping[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    log_weights: np.ndarray | None = None,
) -> Summary:
    """Moments and quantiles of every scalar latent under the weighted draws; see `moments_and_quantiles`.

    Args:
        draws: Site to draws, shape `(draw, *site_shape)`.
        labels: Site to one label per scalar entry, in C order.
        log_weights: Shape `(draw,)`, up to a constant; None for equal weights. A draw of weight zero counts
            for nothing, whatever its value.

    Returns:
        One entry per label, in the order of the sites. All NaN where a draw that has weight is not finite.
    """
    summary: Summary = {}
    for site, values in draws.items():
        columns = _columns(values)
        weights = _weights(log_weights, len(columns))
        for label, column in zip(labels[site], columns.T, strict=True):
            mean, sd, quantiles = moments_and_quantiles(column, weights, LEVELS)
            summary[label] = {"mean": mean, "sd": sd, **dict(zip(_QUANTILES, quantiles.tolist(), strict=True))}
    return summary


def summarise_posterior(posterior: PosteriorData) -> Summary:
    """Summary of the draws that the verdict allows, weighted where it is `corrected`."""
    draws, log_weights = posterior.weighted
    return summarise(draws, posterior.labels, log_weights)


def usual_summary(posterior: PosteriorData) -> Summary:
    """Summary in the units that people expect where they name none: of a formula those of the table."""
    return summarise_as_usual(posterior, *posterior.weighted)


def summarise_as_usual(
    posterior: PosteriorData, draws: Mapping[str, np.ndarray], log_weights: np.ndarray | None = None
) -> Summary:
    """The same for other draws of the latents, such as those of NUTS.

    Args:
        posterior: Whose latents they are.
        draws: Site to draws, shape `(draw, *site_shape)`.
        log_weights: Shape `(draw,)`, up to a constant; None for equal weights.
    """
    return summarise(*_as_usual(posterior, draws), log_weights)


def columns_as_usual(posterior: PosteriorData, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Label of a scalar latent -> its draws, shape `(draw,)`, in the same units."""
    draws, labels = _as_usual(posterior, draws)
    return {
        label: column
        for site, values in draws.items()
        for label, column in zip(labels[site], _columns(values).T, strict=True)
    }


def _as_usual(
    posterior: PosteriorData, draws: Mapping[str, np.ndarray]
) -> tuple[Mapping[str, np.ndarray], Mapping[str, tuple[str, ...]]]:
    recipe, labels = posterior.recipe, posterior.labels
    in_table_units = recipe.to_table_units(draws) if recipe is not None and recipe.units == "table" and draws else None
    if recipe is None or in_table_units is None:
        return draws, labels
    return in_table_units, recipe.table_labels(labels)


def _columns(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(len(values), math.prod(np.shape(values)[1:]))


def summarise_in_table_units(posterior: PosteriorData) -> Summary | None:
    """The same in the units of the table; None where they are the same or no way back is known."""
    recipe = posterior.recipe
    if not posterior.is_linear or recipe is None or not posterior.num_draws:
        return None
    draws, log_weights = posterior.weighted
    in_table_units = recipe.to_table_units(draws)
    if in_table_units is None:
        return None
    return summarise(in_table_units, recipe.table_labels(posterior.labels), log_weights)


def _weights(log_weights: np.ndarray | None, num_draws: int) -> np.ndarray:
    if log_weights is None:
        return np.full(num_draws, 1.0 / num_draws)
    weights = np.exp(log_weights - np.max(log_weights))
    return weights / weights.sum()
