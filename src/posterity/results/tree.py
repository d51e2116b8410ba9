"""An answer as ArviZ's DataTree, and that tree as a NetCDF file."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posterity.checks import InputError
from posterity.results.answer import Answer

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["to_datatree", "write_netcdf"]

_SAMPLE_DIMS = ("chain", "draw")


def to_datatree(answer: Answer) -> "xr.DataTree":
    """The answer in ArviZ's schema, ready for `arviz.summary` and its plots.

    - `posterior`: draws of q as they came, one chain. Weigh them by `sample_stats.log_weights` (or resample)
      where the verdict is `corrected`.
    - `sample_stats`: `log_weights` (normalised, Pareto-smoothed), `log_q` and `log_joint` per draw; the
      attributes `pareto_k`, `ess`, `verdict`, and `reasons`, one sentence per line.
    - `observed_data`: the data arguments, rows along `observations`.

    Model, group, rows and seconds are attributes of the root. NumPyro's scopes put "/" into names, which a
    DataTree keeps for its groups: it becomes ".".

    Raises:
        InputError: A plate is called `chain` or `draw`, as ArviZ calls its own axes.
    """
    from arviz_base import from_dict  # here, since xarray takes half a second

    per_draw = {
        "log_weights": answer.weights.log_weights,
        "log_q": answer.log_q,
        "log_joint": answer.log_joint,
    }
    observed_dims = {site: ["observations"] for site in answer.observed}
    dims = observed_dims | {site: list(names) for site, names in answer.dims.items()}
    _refuse_sample_dims(dims)
    return from_dict(
        {
            "posterior": _renamed({site: _one_chain(draws) for site, draws in answer.draws.items()}),
            "sample_stats": {name: _one_chain(values) for name, values in per_draw.items()},
            "observed_data": _renamed(answer.observed),
        },
        dims={_name(site): [_name(dim) for dim in names] for site, names in dims.items()},
        coords={_name(dim): np.asarray(values) for dim, values in answer.coords.items()},
        sample_dims=list(_SAMPLE_DIMS),
        check_conventions=False,  # warns of many chains and few draws: there is one chain
        attrs=_attributes(answer),
    )


def write_netcdf(tree: "xr.DataTree", path: str | Path) -> None:
    """Writes the tree to `path`, replacing what is there.

    A failure leaves `path` as it was and nothing beside it.

    Raises:
        InputError: `path` cannot be written.
    """
    path = Path(path)
    unfinished = path.parent / f".{path.name}.{os.getpid()}.unfinished"
    try:
        tree.to_netcdf(unfinished, engine="h5netcdf")
        os.replace(unfinished, path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(
            f"cannot write '{path}': {reason}. Choose a file in an existing directory that you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # there is none after success, nor where none could be made
            unfinished.unlink()


def _attributes(answer: Answer) -> dict[str, dict[str, Any]]:
    """Attributes per group, as text and plain numbers only: NetCDF stores nothing else."""
    origin = {"inference_library": "posterity", "model": answer.model}
    root = {**origin, "num_rows": int(answer.num_rows), "seconds": float(answer.seconds)}
    trust = {
        "pareto_k": float(answer.weights.pareto_k),
        "ess": float(answer.weights.ess),
        "verdict": str(answer.verdict),
        "reasons": "\n".join(answer.reasons),
    }
    group = {} if answer.group is None else {"group": str(answer.group)}
    return {"/": root | group, "posterior": origin, "sample_stats": trust}


def _refuse_sample_dims(dims: Mapping[str, list[str]]) -> None:
    for site, names in dims.items():
        for name in _SAMPLE_DIMS:
            if name in names:
                raise InputError(
                    f"site '{site}' has a plate called '{name}', which ArviZ uses for the draws themselves. "
                    "Rename the plate in the model."
                )


def _one_chain(values: np.ndarray) -> np.ndarray:
    return np.asarray(values)[None]  # (chain, draw, ...)


def _renamed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {_name(site): np.asarray(values) for site, values in arrays.items()}


def _name(name: str) -> str:
    return name.replace("/", ".")
