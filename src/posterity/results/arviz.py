"""A posterior as ArviZ's DataTree, and that tree as a NetCDF file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posterity.model.model import Model
from posterity.model.sites import ROW_PLATE
from posterity.results.by_row import replicated_data, row_log_likelihood
from posterity.results.data import PosteriorData
from posterity.runtime.errors import InputError
from posterity.runtime.files import replacing
from posterity.runtime.keys import key_for

if TYPE_CHECKING:
    import xarray as xr


__all__ = ["MAX_VALUES", "to_arviz", "write_netcdf"]

MAX_VALUES = 200_000_000
"""Largest number of values (32 bits each) in one group that is made on request: 0.8 GB."""

_SAMPLE_DIMS = ["chain", "draw"]
_PROPOSAL_STATS = ("log_weights", "log_q", "log_joint")


def to_arviz(
    posterior: PosteriorData,
    *,
    num_draws: int | None = None,
    log_likelihood: bool = False,
    posterior_predictive: bool = False,
    seed: int = 0,
) -> "xr.DataTree":
    """The posterior in ArviZ's schema: `arviz.summary`, its plots and `arviz.loo` take it as they take NUTS output.

    - `posterior`: one chain of draws of equal weight. Where the verdict is `corrected` they are resampled by the
      importance weights (see `resampled_indices`); otherwise they are the draws as they came.
    - `sample_stats`: `lp` (log joint) and `index` (which draw was taken) along the same draws; the attributes
      `pareto_k`, `ess`, `verdict`, and `reasons`, one sentence per line.
    - `proposal`: the draws of q as they came, with `log_weights` (normalised, Pareto-smoothed), `log_q` and
      `log_joint`.
    - `observed_data` and `constant_data`: the data arguments and the covariates, rows along the model's own plate.
    - `log_likelihood`: on request; per row and draw, in nats.
    - `posterior_predictive`: on request; one replicated dataset per draw.

    The two groups on request are computed in turns and held once, as 32-bit numbers: 100,000 rows and 1000 draws
    take 0.4 GB each. Take fewer draws where that is too much.

    Model, name, rows and seconds are attributes of the root. NumPyro's scopes put "/" into names, which a
    DataTree keeps for its groups: it becomes ".".

    Args:
        posterior: The posterior.
        num_draws: Draws of equal weight to take; as many as there are if None.
        log_likelihood: Add that group.
        posterior_predictive: Add that group.
        seed: Decides the draws of `posterior_predictive`.

    Raises:
        InputError: A plate is called `chain` or `draw`, as ArviZ calls its own axes; more draws are asked for than
            there are; a group on request would have more than `MAX_VALUES` values, or there are no rows.
    """
    import xarray as xr  # here, since it takes half a second

    posterior.require_draws("to_arviz")
    for group, wanted in (("log_likelihood", log_likelihood), ("posterior_predictive", posterior_predictive)):
        if wanted:
            posterior.model.require_rows(f"to_arviz({group}=True)")
    dims = _dims(posterior)
    index = posterior.resampled(_checked(posterior, num_draws))
    draws = {site: values[index] for site, values in posterior.weighted[0].items()}
    log_joint = posterior.log_joint if posterior.refined_log_joint is None else posterior.refined_log_joint

    def dataset(values: Mapping[str, np.ndarray], *, rows: bool = False, by_row: bool = False) -> "xr.Dataset":
        return _dataset(values, dims, posterior.axes[1], rows=rows, by_row=by_row)

    groups = {
        "posterior": dataset(draws),
        "sample_stats": dataset({"lp": log_joint[index], "index": index}),
    }
    if posterior.weights is not None:
        stats = (posterior.weights.log_weights, posterior.log_q, posterior.log_joint)
        groups["proposal"] = dataset({**posterior.proposed, **dict(zip(_PROPOSAL_STATS, stats, strict=True))})
    groups["observed_data"] = dataset(posterior.observed, rows=True)
    if constant := _constant(posterior):
        groups["constant_data"] = dataset(constant, rows=True)
    if log_likelihood:
        model, arrays = _to_run_again(posterior, "log_likelihood", len(index))
        groups["log_likelihood"] = dataset(row_log_likelihood(model, draws, arrays), by_row=True)
    if posterior_predictive:
        model, arrays = _to_run_again(posterior, "posterior_predictive", len(index))
        replicated = replicated_data(model, draws, arrays, key_for(seed, "posterior predictive"))
        groups["posterior_predictive"] = dataset(replicated, by_row=True)
    tree = xr.DataTree.from_dict(groups)
    for place, attributes in _attributes(posterior).items():
        tree[place].attrs.update(attributes)
    return tree


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
    rows: bool,
    by_row: bool,
) -> "xr.Dataset":
    """One group.

    Args:
        values: Variable -> array; draws first unless `rows`.
        dims: Latent or argument -> names of its axes.
        coords: Axis -> values along it.
        rows: The variables are arguments, rows first.
        by_row: The variables are those of arguments, draws first, then rows.
    """
    from arviz_base import dict_to_dataset  # here, since xarray takes half a second

    arrays = {_name(name): np.asarray(array) if rows else np.asarray(array)[None] for name, array in values.items()}
    axes = {}
    for name, array in arrays.items():
        found = dims.get(name, [_name(ROW_PLATE)] if rows or by_row else [])
        axes[name] = found[: array.ndim - (0 if rows else 2)]
    return dict_to_dataset(
        arrays,
        dims=axes,
        coords={_name(dim): np.asarray(along) for dim, along in coords.items()},
        sample_dims=[] if rows else _SAMPLE_DIMS,
        check_conventions=False,  # warns of many chains and few draws: there is one chain
        attrs={"inference_library": "posterity"},
    )


def _constant(posterior: PosteriorData) -> dict[str, np.ndarray]:
    """The covariates: without numbers of groups, which the axes tell, and what groups have once for each."""
    sizes = {group.argument for group in posterior.model.groups}
    of_groups = {name for group in posterior.model.groups for name in group.arrays}
    covariates = {name: array for name, array in posterior.covariates.items() if name not in sizes}
    return {name: array[0] if name in of_groups else array for name, array in covariates.items()}


def _checked(posterior: PosteriorData, num_draws: int | None) -> int:
    if num_draws is None:
        return posterior.num_draws
    if not 1 <= num_draws <= posterior.num_draws:
        raise InputError(
            f"to_arviz: num_draws must be from 1 to the {posterior.num_draws} draws of the posterior; got {num_draws}. "
            "For more, ask infer for more"
        )
    return num_draws


def _to_run_again(posterior: PosteriorData, group: str, num_draws: int) -> tuple[Model, dict[str, np.ndarray]]:
    """The model and the dataset's arrays, for a group of results by row.

    Raises:
        InputError: The group would be too large.
    """
    model = posterior.model
    per_draw = sum(array.size for array in posterior.observed.values())
    if per_draw * num_draws > MAX_VALUES:
        raise InputError(
            f"to_arviz: group '{group}' would hold {num_draws} draws of {per_draw} values each, "
            f"{per_draw * num_draws * 4 / 1e9:.1f} GB; expected at most {MAX_VALUES * 4 / 1e9:.1f} GB. Give "
            f"num_draws={max(1, MAX_VALUES // per_draw)}, or infer from fewer rows"
        )
    return model, dict(posterior.data)


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
