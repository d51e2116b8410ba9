"""Figures of one posterior by arviz-plots, whose objects they return: to be changed, saved or shown as its own are."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from posterity.results.arviz import to_arviz
from posterity.results.data import PosteriorData
from posterity.results.summary import columns_as_usual
from posterity.runtime.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["forest", "pairs", "predictive"]

MOST_LINES, MOST_PAIRED, MOST_REPLICATED = 40, 5, 200


def forest(posterior: PosteriorData, latents: Collection[str] | None = None, **options: Any) -> Any:
    """Means and intervals of scalar latents, one line each; a `PlotCollection`.

    Args:
        posterior: The posterior.
        latents: Sites such as `w`, or single entries such as `w[bmi]`; the first 40 entries if None.
        **options: Of `arviz_plots.plot_forest`.

    Raises:
        InputError: There is no such latent, or arviz-plots cannot be used.
    """
    return _arviz_plots().plot_forest(_scalars(posterior, latents, MOST_LINES), **options)


def pairs(posterior: PosteriorData, latents: Collection[str] | None = None, **options: Any) -> Any:
    """Scatter plots of pairs of scalar latents; a `PlotMatrix`.

    Args:
        posterior: The posterior.
        latents: As in `forest`; the first 5 entries if None.
        **options: Of `arviz_plots.plot_pair`.

    Raises:
        InputError: There is no such latent, only one, or arviz-plots cannot be used.
    """
    tree = _scalars(posterior, latents, MOST_PAIRED)
    if len(tree.posterior.data_vars) < 2:
        raise InputError("plot_pair: a pair takes two scalar latents; name more, such as latents=['w', 'sigma']")
    return _arviz_plots().plot_pair(tree, **options)


def predictive(posterior: PosteriorData, *, seed: int = 0, **options: Any) -> Any:
    """Data that the model would make, beside those that were seen; a `PlotCollection`.

    Densities of real values, a rootogram of counts, a calibration curve of classes.

    Args:
        posterior: The posterior.
        seed: Decides the replicated data.
        **options: Of the function of arviz-plots: `plot_ppc_dist`, `plot_ppc_rootogram` or `plot_ppc_pava`.

    Raises:
        InputError: The model has no rows, or arviz-plots cannot be used.
    """
    plots = _arviz_plots()
    posterior.model.require_rows("plot_predictive")
    kinds = {argument.kind for argument in posterior.model.data}
    fewer = max(posterior.num_chains, min(posterior.num_draws, MOST_REPLICATED))
    tree = to_arviz(posterior, num_draws=fewer, groups=["posterior_predictive"], seed=seed)
    if kinds == {"binary"}:
        return plots.plot_ppc_pava(tree, **options)
    return (plots.plot_ppc_rootogram if kinds == {"count"} else plots.plot_ppc_dist)(tree, **options)


def _scalars(posterior: PosteriorData, latents: Collection[str] | None, most: int) -> "xr.DataTree":
    """A tree with one variable for each scalar latent, in the units in which they are told."""
    import xarray as xr
    from arviz_base import dict_to_dataset

    posterior.require_draws("plot")
    index = posterior.resampled_all
    columns = columns_as_usual(posterior, {site: values[index] for site, values in posterior.weighted[0].items()})
    labels = list(columns)[:most] if latents is None else _named(latents, columns, posterior)
    shape = posterior.num_chains, -1
    chosen = {label: np.reshape(columns[label], shape) for label in labels}
    return xr.DataTree.from_dict({"posterior": dict_to_dataset(chosen, check_conventions=False)})


def _named(latents: Collection[str], columns: Mapping[str, np.ndarray], posterior: PosteriorData) -> list[str]:
    wanted = [latents] if isinstance(latents, str) else list(latents)
    found: list[str] = []
    for name in wanted:
        own = [label for label in columns if label == name or label.startswith(f"{name}[")]
        if not own:
            known = {*columns, *posterior.draws}
            raise InputError(f"plot: no latent is called '{name}'.{did_you_mean(name, known)}")
        found += own
    return list(dict.fromkeys(found))


def _arviz_plots() -> Any:
    try:
        import arviz_plots
    except ImportError as error:
        raise InputError("plots need arviz-plots and matplotlib: pip install 'posterity[plots]'") from error
    except AttributeError as error:  # arviz-plots 0.8 looks for what matplotlib 3.11 has no more
        raise InputError(
            f"arviz-plots does not run with this matplotlib ({error}): pip install 'posterity[plots]'"
        ) from error
    return arviz_plots
