"""Which latents to fix so that all others enter through affine predictors: found, never named by the user.

A latent that is not read even by itself, every other one given, is a scale latent: a noise sd, a degree of freedom, a
correlation. What remains may still be multiplied together; of two such sites one has to be given, so the smallest set
that touches every such pair is taken.
"""

import itertools
from collections.abc import Iterable, Mapping

from posterity.informed_posterior.read.graph import Dependence, trace_graph
from posterity.informed_posterior.read.predictors import (
    NotInformedError,
    Parts,
    dependence_of,
    log_probs_of,
    tail_of,
)
from posterity.model.dataset import Dataset
from posterity.model.model import Model

__all__ = ["MOST_SCALES", "find_scales"]

MOST_SCALES = 8


def find_scales(model: Model, parts: Parts, dataset: Dataset) -> tuple[str, ...]:
    """Latent sites that must be given, in the order of the model, so that the rest can be read; fewest scalars.

    Args:
        model: The model.
        parts: All latents; only shapes count.
        dataset: Padded dataset; only shapes count.

    Raises:
        NotInformedError: It takes more than `MOST_SCALES` scalars.
    """
    sites = _Sites(model, parts, dataset)
    sizes = {site.name: model.space.site_size(site.name) for site in model.space.sites}
    scales = {name for name in sizes if not sites.are_read({name})}
    _refuse_many(model, scales, sizes)
    rest = [name for name in sizes if name not in scales]
    if not sites.are_read(set(rest)):
        pairs = [set(pair) for pair in itertools.combinations(rest, 2) if not sites.are_read(set(pair))]
        cover = _smallest_cover(pairs, sizes)
        scales |= cover
        rest = [name for name in rest if name not in cover]
        if not sites.are_read(set(rest)):  # three that only together are not affine
            raise NotInformedError(
                f"{_names(rest)} of '{model.name}' enter otherwise than through one predictor per row"
            )
        _refuse_many(model, scales, sizes)
    return tuple(name for name in sizes if name in scales)


def _refuse_many(model: Model, scales: set[str], sizes: Mapping[str, int]) -> None:
    number = sum(sizes[name] for name in scales)
    if number > MOST_SCALES:
        raise NotInformedError(
            f"{number} latents ({_names(sorted(scales))}) enter '{model.name}' otherwise than through the rows' "
            f"predictors; the informed posterior can condition on {MOST_SCALES}"
        )


def _names(sites: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sites)


def _smallest_cover(pairs: list[set[str]], sizes: Mapping[str, int]) -> set[str]:
    """Sites with the fewest scalars of which each pair has one."""
    if not pairs:
        return set()
    covers = []
    for name in sorted(pairs[0]):
        rest = [pair for pair in pairs if name not in pair]
        covers.append({name} | _smallest_cover(rest, sizes))
    return min(covers, key=lambda cover: sum(sizes[name] for name in cover))


class _Sites:
    """The graph of all sites' log probabilities, of which any latents may be followed while the others are given."""

    def __init__(self, model: Model, parts: Parts, dataset: Dataset):
        self._graph, outputs = trace_graph(log_probs_of(model), parts, {}, dataset)
        self._outputs = [output for output in outputs.values() if isinstance(output, int)]
        # One number that all data come to, as of a time series or a Gaussian process, is no row with a predictor.
        data = [outputs[site.name] for site in model.data_sites]
        self._wholes = {output for output in data if isinstance(output, int) and self._graph.size(output) == 1}
        self._inputs = dict(zip(sorted(parts), self._graph.inputs, strict=False))  # as JAX orders the keys of a dict

    def are_read(self, names: set[str]) -> bool:
        """Whether every log probability is quadratic in these latents, or has one affine predictor of its own."""
        dependence = self._graph.dependence([self._inputs[name] for name in names])
        constant = {value for value, kind in dependence.items() if kind <= Dependence.GUARD}
        curved = [o for o in self._outputs if dependence_of(o, dependence) is Dependence.CURVED]
        return not self._wholes.intersection(curved) and all(
            tail_of(self._graph, output, dependence, constant) is not None for output in curved
        )
