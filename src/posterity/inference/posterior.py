"""`Posterior`: what every question about one dataset returns."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posterity.amortized.families.base import AbstractPosterior
from posterity.inference.predict_table import predict_table, sample_table
from posterity.inference.proposal import Proposal
from posterity.inference.updating import rows_to_add
from posterity.results.data import PosteriorData
from posterity.results.evidence import Evidence, posterior_log_evidence
from posterity.results.fit import Fit, fit_of
from posterity.results.frames import summary_frame
from posterity.results.predict import Predictions, predict, sample_observations
from posterity.results.summary import summarise_in_table_units, summarise_posterior
from posterity.results.text import posterior_text
from posterity.runtime.errors import InputError, lookup

if TYPE_CHECKING:
    import polars as pl
    import xarray as xr

__all__ = ["Posterior"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Posterior(PosteriorData):
    """The checked posterior of one dataset; it never changes.

    `posterior["w"]` are draws of equal weight, shape `(draw, *site_shape)`.

    Attributes:
        make_q: Computes q of the dataset; None where it is unanswered.
        ask_again: Answers another dataset as this one was answered; takes it, and how many rows were left out.
    """

    make_q: Callable[[], AbstractPosterior] | None = None
    ask_again: Callable[[Mapping[str, np.ndarray], int], "Posterior"] | None = None

    def __repr__(self) -> str:
        return posterior_text(self)

    def _repr_html_(self) -> str:
        from posterity.report.notebook import posterior_html

        return posterior_html(self)

    def __getitem__(self, site: str) -> np.ndarray:
        """Draws of equal weight of one latent site, in its support, shape `(draw, *site_shape)`.

        Raises:
            InputError: There is no such site, or the dataset is unanswered.
        """
        self.require_draws(f"posterior['{site}']")
        return lookup("latent site", site, self.draws)

    @property
    def proposal(self) -> Proposal:
        """The raw q that the posterior was made from.

        Raises:
            InputError: The dataset is unanswered.
        """
        self.require_draws("proposal")
        assert self.weights is not None and self.make_q is not None
        log_weights = self.weights.log_weights
        return Proposal(self.model, self.proposed, self.log_q, self.log_joint, log_weights, self.make_q)

    @cached_property
    def fit(self) -> Fit:
        """Whether the data look like the model at all: data replicated from the posterior beside those seen.

        Computed when it is first asked for. The verdict judges the computation; this is the second line beside it.

        Raises:
            InputError: The dataset is unanswered or has no rows, or the model's data cannot be replicated.
        """
        return fit_of(self)

    @property
    def log_evidence(self) -> Evidence:
        """Log evidence of the dataset, log p(D), with its standard error, in nats.

        Raises:
            InputError: The posterior is not corrected.
        """
        return posterior_log_evidence(self)

    def summary(self, *, units: str | None = None) -> "pl.DataFrame":
        """One line for each scalar latent: `latent`, `mean`, `sd`, `q05`, `q50`, `q95`.

        Args:
            units: `model`: as the model sees the data, z-scored where it is defined on z-scores. `table`: those of the
                table that the dataset was made of. If None, `table` where the model is a formula, else `model`.

        Raises:
            InputError: Other units, or no way back to those of the table is known; the dataset is unanswered.
        """
        self.require_draws("summary")
        if units is None:
            units = "model" if self.recipe is None else self.recipe.units
        if units == "model":
            return summary_frame(summarise_posterior(self))
        if units != "table":
            raise InputError(f"summary: units must be 'model' or 'table'; got '{units}'")
        if self.recipe is not None and self.recipe.scaling is None:
            return summary_frame(summarise_posterior(self))
        summary = summarise_in_table_units(self)
        if summary is None:
            raise InputError(
                f"summary: no way back from z-scores to a table's units is known for '{self.model.name}'; there is one "
                "for the built-in regressions, inferred from a table"
            )
        return summary_frame(summary)

    def predict(
        self,
        new_rows: Any,
        *,
        interval: float = 0.9,
        seed: int = 0,
        drop_missing: bool = False,
        argument: str | None = None,
        source: str | None = None,
    ) -> Predictions:
        """What the target of new rows will be; in the units and with the labels of the table, if there is one.

        Args:
            new_rows: A frame or a file with the covariates of the table (its target may be there and is not read);
                a dict of arrays, where the dataset was one.
            interval: Probability between the bounds that are given.
            seed: Decides the noise of new observations.
            drop_missing: Rows of a table with a missing cell get NaN instead of being refused.
            argument: The data argument to predict; it may stay away where there is only one.
            source: What messages call the new rows; their path if None.

        Raises:
            InputError: The new rows do not fit the dataset, or there is nothing to predict from.
        """
        self.require_draws("predict")
        if self.recipe is None:
            if not isinstance(new_rows, Mapping):
                raise InputError("predict: the dataset was given as arrays; give the new rows as a dict of arrays, too")
            return predict(self, new_rows, interval=interval, seed=seed, argument=argument)
        if isinstance(new_rows, Mapping):
            raise InputError("predict: the dataset was a table; give the new rows as a table with the same columns")
        return predict_table(
            self, self.recipe, new_rows, interval=interval, seed=seed, drop_missing=drop_missing, source=source
        )

    def update(self, new_data: Any, *, drop_missing: bool = False, source: str | None = None) -> "Posterior":
        """The posterior given the rows so far and new ones: exactly that of all rows at once, under the same prior.

        The terms of old rows are kept: yesterday's posterior is not squeezed into a prior. Rows of a table are coded
        and scaled as the first table was, so that latents stay in its units and priors mean what they meant.

        Args:
            new_data: Rows with their responses: a table with the columns of the first, or a dict of arrays where the
                dataset was one.
            drop_missing: Leave out rows of a table with a missing cell instead of refusing them.
            source: What messages call the new data; their path if None.

        Raises:
            InputError: The new rows do not fit the dataset, or its rows are not exchangeable.
        """
        self.require_draws("update")
        assert self.ask_again is not None
        new, dropped = rows_to_add(self, new_data, drop_missing=drop_missing, source=source)
        together = {name: np.concatenate([values, new[name]]) for name, values in self.data.items()}
        updated = self.ask_again(together, dropped)
        if updated.verdict == "unanswered":
            raise InputError(updated.reasons[0])
        return updated

    def sample(
        self,
        new_rows: Any,
        num_samples: int | None = None,
        *,
        seed: int = 0,
        drop_missing: bool = False,
        argument: str | None = None,
        source: str | None = None,
    ) -> np.ndarray:
        """New observations of new rows: each sample is a whole set of them, at one draw of the posterior.

        Where `predict` tells each row by itself, samples keep what rows have in common: the total of next week's sales
        has the spread of `samples.sum(axis=1)`.

        Args:
            new_rows: As in `predict`.
            num_samples: Samples; one for each draw if None.
            seed: Decides the noise of new observations.
            drop_missing: Rows of a table with a missing cell get NaN instead of being refused.
            argument: The data argument; it may stay away where there is only one.
            source: What messages call the new rows; their path if None.

        Returns:
            Shape `(sample, row, ...)`, in the units of the table, if there is one; codes for classes.

        Raises:
            InputError: The new rows do not fit the dataset, or there is nothing to predict from.
        """
        self.require_draws("sample")
        number = self.num_draws if num_samples is None else num_samples
        if self.recipe is None:
            if not isinstance(new_rows, Mapping):
                raise InputError("sample: the dataset was given as arrays; give the new rows as a dict of arrays, too")
            return sample_observations(self, new_rows, number, seed=seed, argument=argument)
        if isinstance(new_rows, Mapping):
            raise InputError("sample: the dataset was a table; give the new rows as a table with the same columns")
        return sample_table(self, self.recipe, new_rows, number, seed=seed, drop_missing=drop_missing, source=source)

    def to_arviz(
        self, *, num_draws: int | None = None, groups: Collection[str] | None = None, seed: int = 0
    ) -> "xr.DataTree":
        """The posterior in ArviZ's schema; see `posterity.results.arviz.to_arviz`.

        Args:
            num_draws: Draws of equal weight to take; all of them if None.
            groups: Which of `log_likelihood`, `log_prior`, `posterior_predictive`, `prior` and `prior_predictive` to
                compute; all that the model allows if None. `()` is fast.
            seed: Decides the replicated data and the draws of the prior.

        Raises:
            InputError: More draws than there are, a group too large for memory or unknown to the model, a plate named
                like ArviZ's axes, or the dataset is unanswered.
        """
        from posterity.results.arviz import to_arviz

        return to_arviz(self, num_draws=num_draws, groups=groups, seed=seed)

    def plot_forest(self, latents: Collection[str] | None = None, **options: Any) -> Any:
        """Means and intervals of scalar latents, one line each: a `PlotCollection` of arviz-plots.

        Args:
            latents: Sites such as `w`, or single entries such as `w[bmi]`; the first 40 entries if None.
            **options: Of `arviz_plots.plot_forest`.

        Raises:
            InputError: There is no such latent, or arviz-plots cannot be used.
        """
        from posterity.results.plots import forest

        return forest(self, latents, **options)

    def plot_pair(self, latents: Collection[str] | None = None, **options: Any) -> Any:
        """Scatter plots of pairs of scalar latents: a `PlotMatrix` of arviz-plots.

        Args:
            latents: As in `plot_forest`; the first 5 entries if None.
            **options: Of `arviz_plots.plot_pair`.

        Raises:
            InputError: There is no such latent, only one, or arviz-plots cannot be used.
        """
        from posterity.results.plots import pairs

        return pairs(self, latents, **options)

    def plot_predictive(self, *, seed: int = 0, **options: Any) -> Any:
        """Data that the model would make, beside those that were seen: a `PlotCollection` of arviz-plots.

        Args:
            seed: Decides the replicated data.
            **options: Of `plot_ppc_dist` for real values, `plot_ppc_rootogram` for counts, `plot_ppc_pava` for two
                classes.

        Raises:
            InputError: The model has no rows, or arviz-plots cannot be used.
        """
        from posterity.results.plots import predictive

        return predictive(self, seed=seed, **options)

    def report(self, path: str | Path, *, title: str | None = None, command: str | None = None, seed: int = 0) -> None:
        """Writes a report as one HTML file, figures included; see `posterity.report.page.write_report`.

        Args:
            path: The file; replaced if it is there.
            title: Heading; the model and the number of rows if None.
            command: How the posterior was made, for the last section.
            seed: Decides the prior and replicated draws.

        Raises:
            InputError: `path` cannot be written, or the dataset is unanswered.
        """
        from posterity.report.page import write_report

        write_report(self, path, title=title, command=command, seed=seed)
