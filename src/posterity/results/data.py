"""What is known of one dataset's posterior: draws as numbers, with the data and the model that they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from posterity.model.intake import plate_sizes
from posterity.model.model import Model
from posterity.results.axes import argument_axes, latent_axes, latent_entries
from posterity.results.resampling import resampled_indices
from posterity.runtime.errors import InputError
from posterity.tables.abstract_recipe import AbstractRecipe
from posterity.trust.refinement import Refinement
from posterity.trust.standing import Standing
from posterity.trust.verdict import Verdict
from posterity.trust.weights import ImportanceWeights

__all__ = ["PosteriorData"]


@dataclass(frozen=True, eq=False, kw_only=True)
class PosteriorData:
    """The posterior of one dataset; `posterity.Posterior` adds what people do with it.

    Attributes:
        model: The model.
        name: The dataset's name, such as its value of the grouping column; None where it has none.
        num_rows: Rows of the dataset; 1 where it counts as one observation.
        num_draws: Draws that were asked for; 0 where unanswered.
        verdict: How far to trust it; `unanswered` where the dataset could not be read.
        reasons: Full sentences with numbers.
        standing: What the trained estimator has shown of itself; None where nothing was trained.
        data: The model's arguments as they were given, rows first; empty where unanswered.
        proposed: Latent site -> draws in the site's support, shape `(draw, *site_shape)`, active entries only, as they
            came: those of q and those of its wider share, in random order, and further rounds of both where it took
            more to judge them. `draws` has those to use.
        log_q: Log density of the mixture that these were drawn from, unconstrained, in nats, shape `(draw,)`.
        log_joint: Log prior + log likelihood + log-det of `constrain` at each of these, shape `(draw,)`.
        is_of_q: True for those of q itself, `num_draws` at least.
        weights: Importance weights of these; None where unanswered.
        refined: Draws of a sampler that started from q, as `proposed`, where the verdict is `refined`, and where it is
            `untrusted` if there are any, since they come closest: those of its first chain, then of the next, thinned
            to a few thousand. There may be more or fewer than of q. None elsewhere.
        refined_log_joint: Log joint at each of these.
        num_chains: Chains that `refined` consists of, all of one length.
        refinement: What sampling from q on came to, where weights were unhealthy; None where it was not tried.
        columns: Argument -> names of its columns.
        recipe: How the dataset was made of a table; None where it was given as arrays.
        is_linear: The latents are those of a linear predictor, and convert to a table's units.
        dropped_rows: Rows of the table that were left out because a cell was missing.
        by_sums: Rows count only by their sums in this model, and a few rows of the same sums stood for all.
        seconds: Wall time that it took.
    """

    model: Model
    name: str | None = None
    num_rows: int
    num_draws: int = 0
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    standing: Standing | None = None
    data: Mapping[str, np.ndarray] = field(default_factory=dict)
    proposed: Mapping[str, np.ndarray] = field(default_factory=dict)
    log_q: np.ndarray = field(default_factory=lambda: np.zeros(0))
    log_joint: np.ndarray = field(default_factory=lambda: np.zeros(0))
    is_of_q: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    weights: ImportanceWeights | None = None
    refined: Mapping[str, np.ndarray] | None = None
    refined_log_joint: np.ndarray | None = None
    num_chains: int = 1
    refinement: Refinement | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    recipe: AbstractRecipe | None = None
    is_linear: bool = False
    dropped_rows: int = 0
    by_sums: bool = False
    seconds: float = 0.0

    @property
    def size_in_words(self) -> str:
        """How large the dataset is: `40 rows`, or `one observation` where its rows are not exchangeable."""
        rows = f"{self.num_rows} rows{', by their sums' if self.by_sums else ''}"
        return "one observation" if self.model.whole else rows

    @property
    def num_weighed(self) -> int:
        """Draws of `proposed`: those of q, of its wider share, and of further rounds."""
        return self.log_joint.size

    @property
    def is_doubtful(self) -> bool:
        """Whether the computation looks healthy, but was made by an estimator that has not shown that it is good."""
        return self.verdict in ("corrected", "refined") and self.standing is not None and bool(self.standing.problems)

    @property
    def ess(self) -> float:
        """Effective sample size of what `weighted` gives, in draws: of the weights, or of the sampler's chains."""
        if self.refined is not None and self.refinement is not None:
            return min(self.refinement.min_ess, self.num_draws)
        return 0.0 if self.weights is None else self.weights.ess

    @property
    def pareto_k(self) -> float:
        """Tail index k-hat of the importance weights of q's draws."""
        return float("nan") if self.weights is None else self.weights.pareto_k

    @property
    def weighted(self) -> tuple[Mapping[str, np.ndarray], np.ndarray | None]:
        """The draws that the verdict allows, and their log weights, None where all weigh the same.

        Those of q and of its wider share, with weights, where it is `corrected`; the sampler's where it is `refined`.
        Where it is `untrusted`, the sampler's if there are any, else `num_draws` of q as they came.
        """
        if self.refined is not None:
            return self.refined, None
        if self.weights is not None and self.verdict == "corrected":
            return self.proposed, self.weights.log_weights
        return {site: values[self._raw] for site, values in self.proposed.items()}, None

    @property
    def weighted_log_joint(self) -> np.ndarray:
        """Log joint at each draw of `weighted`, in nats."""
        if self.refined_log_joint is not None:
            return self.refined_log_joint
        return self.log_joint if self.weighted[1] is not None else self.log_joint[self._raw]

    @property
    def _raw(self) -> np.ndarray:
        """Indices of as many draws of q itself as were asked for."""
        return np.flatnonzero(self.is_of_q)[: self.num_draws]

    def resampled(self, num_draws: int) -> np.ndarray:
        """Indices into the draws of `weighted` that stand for draws of equal weight, ascending."""
        return resampled_indices(self.weighted[1], len(self.weighted_log_joint), num_draws)

    @property
    def resampled_all(self) -> np.ndarray:
        """The same for as many draws as were asked for, or as there are of a sampler."""
        return self.resampled(self.num_draws if self.refined_log_joint is None else self.refined_log_joint.size)

    @cached_property
    def draws(self) -> dict[str, np.ndarray]:
        """Latent site -> draws of equal weight, shape `(draw, *site_shape)`: those of `weighted`, resampled."""
        index = self.resampled(self.num_draws)
        return {site: values[index] for site, values in self.weighted[0].items()}

    @property
    def observed(self) -> dict[str, np.ndarray]:
        """The model's data arguments, rows first; each in its own shape where there are no rows, as in `data`."""
        return {argument.name: self.data[argument.name] for argument in self.model.data if self.data}

    @property
    def covariates(self) -> dict[str, np.ndarray]:
        """The model's other arguments, rows first."""
        return {argument.name: self.data[argument.name] for argument in self.model.covariates if self.data}

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """Latent site -> one label per scalar entry in C order: `("w[bmi]", "w[age]")`; `("sigma",)` for a scalar."""
        return self.model.space.labels(self._entries) if self.data else {}

    @cached_property
    def axes(self) -> tuple[dict[str, tuple[str, ...]], dict[str, list[str]]]:
        """Latent or argument -> names of its axes (for arguments rows first); axis -> the entries along it."""
        dims, coords = latent_axes(self.model, self._entries)
        data_dims, data_coords = argument_axes(self.model, self._entries, self.columns)
        return data_dims | dims, data_coords | coords

    @cached_property
    def _entries(self) -> dict[str, list[str]]:
        entries = latent_entries(self.model, plate_sizes(self.model, self.data), self.columns)
        return entries if self.recipe is None else entries | self.recipe.entries

    def require_draws(self, what: str) -> None:
        """Raises InputError where there is no posterior: the dataset could not be read."""
        if self.verdict == "unanswered":
            which = "" if self.name is None else f" of '{self.name}'"
            raise InputError(f"{what}{which}: the dataset has no posterior. {' '.join(self.reasons)}")
