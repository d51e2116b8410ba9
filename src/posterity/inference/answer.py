"""What `infer` returns for one dataset: draws, their weights, and how far to trust them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from posterity.inference import arviz as tree
from posterity.inference import evidence
from posterity.inference import predict as prediction
from posterity.inference.evidence import Evidence
from posterity.model.problem import Problem
from posterity.runtime.errors import InputError
from posterity.trust.refinement import Refinement
from posterity.trust.verdict import Verdict
from posterity.trust.weights import ImportanceWeights

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Answer", "Unanswered"]


@dataclass(frozen=True)
class Unanswered:
    """A member of a batch that could not be answered at all.

    Attributes:
        model: Name of the model.
        group: Name of the dataset, if it has one.
        reasons: Why, in full sentences.
        verdict: Always `untrusted`, so that a batch can be sorted by verdicts.
    """

    model: str
    group: str | None
    reasons: tuple[str, ...]
    verdict: Verdict = "untrusted"


@dataclass(frozen=True, eq=False)
class Answer:
    """Posterior of one dataset: draws as numbers, with the data and the model that they belong to.

    Attributes:
        model: Name of the model.
        num_rows: Rows of the dataset.
        group: The dataset's value of the grouping column; None where the table was not grouped.
        draws: Latent site to draws in the site's support, shape `(draw, *site_shape)`, active entries only. Draws
            of q, or those of a sampler where the verdict is `refined`.
        labels: Latent site to one label per scalar entry in C order: `("w[bmi]", "w[age]")`; `("sigma",)` for
            a scalar.
        dims: Latent site to the names of its axes after `draw`, argument to those of its axes, rows first; what
            has no entry gets names of its own.
        coords: Axis name to the values along it, such as the columns' names.
        log_q: Log density of q at each draw, unconstrained, in nats, shape `(draw,)`; None where the draws are not
            those of q.
        log_joint: Log prior + log likelihood + log-det of `constrain` at each draw, shape `(draw,)`.
        weights: Importance weights of the draws.
        verdict: How far to trust the answer.
        reasons: Full sentences with numbers.
        observed: The model's data arguments, rows first.
        seconds: Wall time that the answer took.
        covariates: The model's other arguments, rows first.
        problem: The model; None where an answer is nothing but numbers.
        refinement: What sampling from q on came to, where weights were unhealthy; None where it was not tried.
    """

    model: str
    num_rows: int
    group: str | None
    draws: Mapping[str, np.ndarray]
    labels: Mapping[str, tuple[str, ...]]
    dims: Mapping[str, tuple[str, ...]]
    coords: Mapping[str, Sequence[object]]
    log_q: np.ndarray | None
    log_joint: np.ndarray
    weights: ImportanceWeights
    verdict: Verdict
    reasons: tuple[str, ...]
    observed: Mapping[str, np.ndarray]
    seconds: float
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)
    problem: Problem | None = None
    refinement: Refinement | None = None

    @property
    def num_draws(self) -> int:
        """Draws that there are."""
        return self.log_joint.size

    @property
    def trusted_log_weights(self) -> np.ndarray | None:
        """The log weights if the verdict is `corrected`; else None: take the draws as they are."""
        return self.weights.log_weights if self.verdict == "corrected" else None

    def log_evidence(self) -> Evidence:
        """Log evidence of the dataset, log p(D), with its standard error, in nats.

        Raises:
            InputError: The answer is not corrected.
        """
        return evidence.log_evidence(self)

    def require_problem(self) -> Problem:
        """The model that the answer belongs to.

        Raises:
            InputError: The answer was made without one.
        """
        if self.problem is None:
            raise InputError(
                f"answer of '{self.model}': it holds numbers only, and this needs the model's likelihood. Take the "
                "answer that Estimator.infer or posterity.infer returns"
            )
        return self.problem

    def to_datatree(
        self,
        *,
        num_draws: int | None = None,
        log_likelihood: bool = False,
        posterior_predictive: bool = False,
        seed: int = 0,
    ) -> "xr.DataTree":
        """The answer in ArviZ's schema; see `posterity.results.to_datatree`.

        Args:
            num_draws: Draws of equal weight to take; all of them if None.
            log_likelihood: Add that group: `num_draws` times `num_rows` numbers.
            posterior_predictive: Add that group: as large.
            seed: Decides the draws of `posterior_predictive`.

        Raises:
            InputError: More draws than there are, a group too large for memory, or a plate named like ArviZ's axes.
        """
        return tree.to_datatree(
            self,
            num_draws=num_draws,
            log_likelihood=log_likelihood,
            posterior_predictive=posterior_predictive,
            seed=seed,
        )

    def predict(
        self, new_rows: Mapping[str, Any], *, interval: float = 0.9, seed: int = 0, argument: str | None = None
    ) -> prediction.Predictions:
        """What the data of new rows will be; see `posterity.results.predict`.

        Args:
            new_rows: Covariate -> array with rows first.
            interval: Probability between the bounds that are given.
            seed: Decides the noise of new observations.
            argument: The data argument to predict; it may stay away where there is only one.

        Raises:
            InputError: The rows do not fit the dataset of the answer, or there is nothing to predict from.
        """
        return prediction.predict(self, new_rows, interval=interval, seed=seed, argument=argument)
