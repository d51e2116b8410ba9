"""A posterior as ArviZ's DataTree, and that tree as a NetCDF file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posterity.model.sites import ROW_PLATE
from posterity.results.by_row import replicated_data, row_log_likelihood
from posterity.results.data import PosteriorData
from posterity.results.prior import prior_draws, prior_log_density
from posterity.results.resampling import resampled_indices
from posterity.runtime.errors import InputError, lookup
from posterity.runtime.files import replacing
from posterity.runtime.keys import key_for

if TYPE_CHECKING:
    import xarray as xr


__all__ = ["COMPUTED", "MAX_VALUES", "draws_that_fit", "to_arviz", "write_netcdf"]

COMPUTED = ("log_likelihood", "log_prior", "posterior_predictive", "prior", "prior_predictive")
"""Groups that must be computed; the others are at hand."""

MAX_VALUES = 200_000_000
"""Largest number of values (32 bits each) in one group that is computed row by row: 0.8 GB."""

NUM_PRIOR = 1000
_BY_ROW = ("log_likelihood", "posterior_predictive", "prior_predictive")
_OF_PRIOR = ("prior", "prior_predictive")
_SAMPLE_DIMS = ["chain", "draw"]
_PROPOSAL_STATS = ("log_weights", "log_q", "log_joint")


def to_arviz(
    posterior: PosteriorData,
    *,
    num_draws: int | None = None,
    groups: Collection[str] | None = None,
    seed: int = 0,
) -> "xr.DataTree":
    """The posterior in ArviZ's schema: its functions take it as they take NUTS output.

    - `posterior`: draws of equal weight. Where the verdict is `refined`, the chains that were run, so that R-hat and
      effective sample sizes mean what they mean elsewhere. Else one chain: where it is `corrected`, draws resampled by
      the importance weights (see `resampled_indices`), otherwise the draws as they came.
    - `sample_stats`: `lp` (log joint, unconstrained) along the same draws; of chains `diverging`, of draws of q `index`
      (which draw was taken); the attributes `pareto_k`, `ess`, `verdict`, and `reasons`, one sentence per line.
    - `proposal`: the draws of q and of its wider share as they came, with `log_weights` (normalised,
      Pareto-smoothed), `log_q` (of the mixture that they are from) and `log_joint`.
    - `observed_data` and `constant_data`: the data arguments and the covariates, rows along the model's own plate.
    - `log_likelihood`: per draw and row, in nats.
    - `log_prior`: per draw and latent site, in nats, for sensitivity by power scaling.
    - `posterior_predictive`: one replicated dataset per draw.
    - `prior`, `prior_predictive`: 1000 draws of the prior (fewer of very large datasets), and a dataset from each.

    The last five are computed; those by row are held once, as 32-bit numbers: 100,000 rows and 1000 draws take 0.4 GB
    each. Take fewer draws, or name fewer groups, where that is too much.

    Model, name, rows and seconds are attributes of the root. NumPyro's scopes put "/" into names, which a
    DataTree keeps for its groups: it becomes ".".

    Args:
        posterior: The posterior.
        num_draws: Draws of equal weight to take, spread evenly over all (of each chain a share); all if None.
        groups: Which of `COMPUTED` to add. If None, all that the model allows: without exchangeable rows there is
            nothing by row, and improper priors have no draws.
        seed: Decides the replicated data and the draws of the prior.

    Raises:
        InputError: A plate is called `chain` or `draw`, as ArviZ calls its own axes; more draws are asked for than
            there are; a group would have more than `MAX_VALUES` values; or the model has no such group.
    """
    import xarray as xr  # here, since it takes half a second

    posterior.require_draws("to_arviz")
    chosen = _chosen(posterior, groups)
    dims = _dims(posterior)
    num_chains, index = _index(posterior, num_draws)
    draws = {site: values[index] for site, values in posterior.weighted[0].items()}
    _refuse_large(posterior, chosen, len(index))

    def drawn(values: Mapping[str, np.ndarray], chains: int = 1, *, by_row: bool = False) -> "xr.Dataset":
        shaped = {name: np.reshape(array, (chains, -1, *np.shape(array)[1:])) for name, array in values.items()}
        return _dataset(shaped, dims, posterior.axes[1], by_row=by_row)

    def fixed(values: Mapping[str, np.ndarray]) -> "xr.Dataset":
        return _dataset(values, dims, posterior.axes[1], rows=True)

    found = {"posterior": drawn(draws, num_chains), "sample_stats": drawn(_stats(posterior, index), num_chains)}
    if posterior.weights is not None:
        stats = (posterior.weights.log_weights, posterior.log_q, posterior.log_joint)
        found["proposal"] = drawn({**posterior.proposed, **dict(zip(_PROPOSAL_STATS, stats, strict=True))})
    found["observed_data"] = fixed(posterior.observed)
    if constant := _constant(posterior):
        found["constant_data"] = fixed(constant)
    model, data = posterior.model, dict(posterior.data)
    if "log_likelihood" in chosen:
        found["log_likelihood"] = drawn(row_log_likelihood(model, draws, data), num_chains, by_row=True)
    if "log_prior" in chosen:
        found["log_prior"] = drawn(prior_log_density(posterior, draws), num_chains)
    if "posterior_predictive" in chosen:
        replicated = replicated_data(model, draws, data, key_for(seed, "posterior predictive"))
        found["posterior_predictive"] = drawn(replicated, num_chains, by_row=True)
    if set(_OF_PRIOR) & set(chosen):
        number = min(NUM_PRIOR, max(1, MAX_VALUES // _values_of_a_draw(posterior)))
        before = prior_draws(posterior, number, key_for(seed, "prior of the tree"))
        if "prior" in chosen:
            found["prior"] = drawn(before)
        if "prior_predictive" in chosen:
            replicated = replicated_data(model, before, data, key_for(seed, "prior predictive"))
            found["prior_predictive"] = drawn(replicated, by_row=True)
    tree = xr.DataTree.from_dict(found)
    for place, attributes in _attributes(posterior).items():
        tree[place].attrs.update(attributes)
    return tree


def draws_that_fit(posterior: PosteriorData) -> int:
    """Most draws of equal weight for which no group has more than `MAX_VALUES` values; all if they fit."""
    available = len(posterior.resampled_all)
    if posterior.model.whole:
        return available
    return min(available, max(1, MAX_VALUES // _values_of_a_draw(posterior)))


def write_netcdf(tree: "xr.DataTree", path: str | Path) -> None:
    """Writes the tree to `path`, replacing what is there.

    A failure leaves `path` as it was and nothing beside it.

    Raises:
        InputError: `path` cannot be written.
    """
    with replacing(path) as unfinished:
        tree.to_netcdf(unfinished, engine="h5netcdf")


def _dataset(
    values: Mapping[str, np.ndarray],
    dims: Mapping[str, list[str]],
    coords: Mapping[str, Any],
    *,
    rows: bool = False,
    by_row: bool = False,
) -> "xr.Dataset":
    """One group.

    Args:
        values: Variable -> array; chains and draws first unless `rows`.
        dims: Latent or argument -> names of its axes.
        coords: Axis -> values along it.
        rows: The variables are arguments, rows first.
        by_row: The variables are those of arguments: chains, draws, then rows.
    """
    from arviz_base import dict_to_dataset  # here, since xarray takes half a second

    arrays = {_name(name): np.asarray(array) for name, array in values.items()}
    axes = {}
    for name, array in arrays.items():
        found = dims.get(name, [_name(ROW_PLATE)] if rows or by_row else [])
        axes[name] = found[: array.ndim - (0 if rows else 2)]
    return dict_to_dataset(
        arrays,
        dims=axes,
        coords={_name(dim): np.asarray(along) for dim, along in coords.items()},
        sample_dims=[] if rows else _SAMPLE_DIMS,
        check_conventions=False,  # warns of many chains and few draws
        attrs={"inference_library": "posterity"},
    )


def _stats(posterior: PosteriorData, index: np.ndarray) -> dict[str, np.ndarray]:
    """What is known of each draw, beside the latents."""
    stats = {"lp": posterior.weighted_log_joint[index]}
    if posterior.refined_log_joint is None:
        return {**stats, "index": index}
    refinement = posterior.refinement
    if refinement is not None and refinement.is_divergent is not None:
        stats["diverging"] = np.ravel(refinement.is_divergent[:, refinement.kept_steps])[index]
    return stats


def _constant(posterior: PosteriorData) -> dict[str, np.ndarray]:
    """The covariates: without numbers of groups, which the axes tell, and what groups have once for each."""
    sizes = {group.argument for group in posterior.model.groups}
    of_groups = {name for group in posterior.model.groups for name in group.arrays}
    covariates = {name: array for name, array in posterior.covariates.items() if name not in sizes}
    return {name: array[0] if name in of_groups else array for name, array in covariates.items()}


def _chosen(posterior: PosteriorData, groups: Collection[str] | None) -> list[str]:
    """The groups to compute.

    Raises:
        InputError: There is no such group, or the model cannot have it.
    """
    model = posterior.model
    without_rows, improper = bool(model.whole), model.improper_sites
    if groups is None:
        left_out = (*(_BY_ROW if without_rows else ()), *(_OF_PRIOR if improper else ()))
        return [name for name in COMPUTED if name not in left_out]
    for name in groups:
        lookup("group", name, dict.fromkeys(COMPUTED))
        if name in _BY_ROW:
            model.require_rows(f"to_arviz(groups=['{name}'])")
        if name in _OF_PRIOR and improper:
            raise InputError(
                f"to_arviz(groups=['{name}']): the prior of '{improper[0]}' in '{model.name}' is improper and "
                "cannot be drawn from; give it a proper one, or name other groups"
            )
    return list(groups)


def _index(posterior: PosteriorData, num_draws: int | None) -> tuple[int, np.ndarray]:
    """How many chains there are, and which draws of `weighted` to take, chain by chain.

    Raises:
        InputError: There are not so many, or fewer are asked for than one of each chain.
    """
    everything, chains = posterior.resampled_all, posterior.num_chains
    if num_draws is None:
        return chains, everything
    if not chains <= num_draws <= len(everything):
        raise InputError(
            f"to_arviz: num_draws must be from {chains} to the {len(everything)} draws of the posterior; got "
            f"{num_draws}. For more, ask infer for more"
        )
    if chains == 1:
        return chains, posterior.resampled(num_draws)
    steps = len(everything) // chains
    taken = resampled_indices(None, steps, num_draws // chains)
    return chains, np.ravel(np.arange(chains)[:, None] * steps + taken)


def _values_of_a_draw(posterior: PosteriorData) -> int:
    return max(1, sum(array.size for array in posterior.observed.values()))


def _refuse_large(posterior: PosteriorData, groups: Collection[str], num_draws: int) -> None:
    """Raises InputError where a group by row would be too large."""
    each = _values_of_a_draw(posterior)
    for group in ("log_likelihood", "posterior_predictive"):
        if group in groups and each * num_draws > MAX_VALUES:
            raise InputError(
                f"to_arviz: group '{group}' would hold {num_draws} draws of {each} values each, "
                f"{each * num_draws * 4 / 1e9:.1f} GB; expected at most {MAX_VALUES * 4 / 1e9:.1f} GB. Give "
                f"num_draws={max(1, MAX_VALUES // each)}, or groups=[...] without it"
            )


def _attributes(posterior: PosteriorData) -> dict[str, dict[str, Any]]:
    """Attributes per group, as text and plain numbers only: NetCDF stores nothing else."""
    origin = {"inference_library": "posterity", "model": posterior.model.name}
    root = {**origin, "num_rows": int(posterior.num_rows), "seconds": float(posterior.seconds)}
    trust = {
        "pareto_k": float(posterior.pareto_k),
        "ess": float(posterior.ess),
        "verdict": str(posterior.verdict),
        "reasons": "\n".join(posterior.reasons),
    }
    name = {} if posterior.name is None else {"name": str(posterior.name)}
    return {"/": root | name, "posterior": {**origin, "verdict": str(posterior.verdict)}, "sample_stats": trust}


def _dims(posterior: PosteriorData) -> dict[str, list[str]]:
    """Latent or argument -> names of its axes, in the form that a DataTree can hold.

    Raises:
        InputError: A plate is named like ArviZ's own axes, or a latent like what is kept about each draw.
    """
    for site in posterior.proposed:
        if site in _PROPOSAL_STATS:
            raise InputError(
                f"latent site '{site}' is called like a number that the DataTree keeps about each draw. Rename it in "
                "the model."
            )
    for site in dict.fromkeys([*posterior.proposed, *posterior.axes[0]]):  # latents first: their plates are the model's
        for name in _SAMPLE_DIMS:
            if name in posterior.axes[0][site]:
                raise InputError(
                    f"site '{site}' has a plate called '{name}', which ArviZ uses for the draws themselves. "
                    "Rename the plate in the model."
                )
    return {_name(site): [_name(dim) for dim in names] for site, names in posterior.axes[0].items()}


def _name(name: str) -> str:
    return name.replace("/", ".")
