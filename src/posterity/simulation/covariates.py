"""How covariates are drawn while training: the one thing that a model cannot say."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import nn, random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.model.arguments import Argument
from posterity.runtime.errors import InputError
from posterity.runtime.plain import told_arrays

__all__ = ["COVARIATE_LAWS", "CovariateLaw", "ResampledRows", "StandardNormal", "TableLike"]


@runtime_checkable
class CovariateLaw(Protocol):
    """Draws the covariates of one dataset."""

    name: str

    def draw(
        self,
        rng_key: PRNGKeyArray,
        arguments: Sequence[Argument],
        row_mask: Bool[Array, " obs"],
        plate_masks: Mapping[str, Bool[Array, " _"]],
    ) -> dict[str, Array]:
        """Arrays `(obs, *shape)`; entries of padded rows and masked plates are arbitrary but finite."""
        ...

    def check(self, arguments: Sequence[Argument]) -> None:
        """Raises InputError if the law cannot draw these covariates."""
        ...


def _refuse_discrete(law: str, arguments: Sequence[Argument]) -> None:
    for argument in arguments:
        if argument.dtype != "float32":
            raise InputError(
                f"covariate '{argument.name}' holds {argument.dtype}, which the '{law}' law cannot draw; use "
                "covariates='resampled' (rows of the example) instead"
            )


@dataclasses.dataclass(frozen=True)
class StandardNormal:
    """Independent N(0, 1) covariates, the paper's law (its App. C)."""

    name = "normal"

    def draw(
        self,
        rng_key: PRNGKeyArray,
        arguments: Sequence[Argument],
        row_mask: Bool[Array, " obs"],
        plate_masks: Mapping[str, Bool[Array, " _"]],
    ) -> dict[str, Array]:
        """See `CovariateLaw.draw`."""
        keys = random.split(rng_key, max(len(arguments), 1))
        return {
            argument.name: random.normal(key, (*row_mask.shape, *argument.shape))
            for argument, key in zip(arguments, keys, strict=False)
        }

    def check(self, arguments: Sequence[Argument]) -> None:
        """Real covariates only."""
        _refuse_discrete(self.name, arguments)


@dataclasses.dataclass(frozen=True)
class TableLike:
    """Covariates that look like the columns of real tables, z-scored (mean 0, sd 1 over the real rows, ddof 0).

    Columns, those of all arguments together, share random factors, so that they correlate from hardly to nearly
    collinear; each column is then left as it is, made heavy-tailed or skewed, or cut into a binary indicator.

    Attributes:
        num_factors: Shared factors behind the columns.
    """

    num_factors: int = 3
    name = "table"

    def draw(
        self,
        rng_key: PRNGKeyArray,
        arguments: Sequence[Argument],
        row_mask: Bool[Array, " obs"],
        plate_masks: Mapping[str, Bool[Array, " _"]],
    ) -> dict[str, Array]:
        """See `CovariateLaw.draw`."""
        num_rows = row_mask.shape[0]
        ends = np.cumsum([math.prod(argument.shape) for argument in arguments])
        columns = self.columns(rng_key, int(ends[-1]), row_mask) if arguments else jnp.zeros((num_rows, 0))
        return {
            argument.name: jnp.reshape(part, (num_rows, *argument.shape))
            for argument, part in zip(arguments, jnp.split(columns, ends[:-1], axis=1), strict=False)
        }

    def check(self, arguments: Sequence[Argument]) -> None:
        """Real covariates only."""
        _refuse_discrete(self.name, arguments)

    def columns(
        self, rng_key: PRNGKeyArray, num_columns: int, row_mask: Bool[Array, " obs"]
    ) -> Float[Array, "obs column"]:
        """Columns of one table, z-scored over the real rows."""
        key_odds, key_loadings, key_noise, key_kinds = random.split(rng_key, 4)
        # Share of each column's variance that comes from the factors: from none to nearly all, alike in one table.
        # In a third of the tables with 10 columns some pair correlates beyond 0.8, in a quarter none beyond 0.3.
        odds = random.normal(key_odds, (1 + num_columns,))
        share = 0.98 * nn.sigmoid(3.0 * odds[0] + 1.5 * odds[1:])
        loadings = random.normal(key_loadings, (self.num_factors, num_columns))
        loadings /= jnp.sqrt(jnp.sum(loadings**2, axis=0))
        noise = random.normal(key_noise, (row_mask.shape[0], self.num_factors + num_columns))
        shared, own = noise[:, : self.num_factors] @ loadings, noise[:, self.num_factors :]
        latent = jnp.sqrt(share) * shared + jnp.sqrt(1.0 - share) * own
        kind, cut = random.uniform(key_kinds, (2, num_columns))
        columns = jnp.where(kind < 0.2, jnp.where(latent > 2.6 * cut - 1.3, 1.0, 0.0), latent)
        columns = jnp.where((kind >= 0.2) & (kind < 0.35), jnp.sinh(latent), columns)
        columns = jnp.where((kind >= 0.35) & (kind < 0.45), jnp.exp(0.7 * latent), columns)
        return z_score(columns, row_mask)


@dataclasses.dataclass(frozen=True)
class ResampledRows:
    """Rows drawn with replacement from the covariates of a real table, all arguments together.

    Attributes:
        rows: Covariate name -> array `(rows, *shape)`.
    """

    rows: Mapping[str, Array]
    name = "resampled"

    def __repr__(self) -> str:
        return f"ResampledRows({told_arrays(self.rows)})"

    def draw(
        self,
        rng_key: PRNGKeyArray,
        arguments: Sequence[Argument],
        row_mask: Bool[Array, " obs"],
        plate_masks: Mapping[str, Bool[Array, " _"]],
    ) -> dict[str, Array]:
        """See `CovariateLaw.draw`."""
        if not arguments:
            return {}
        num_rows = next(iter(self.rows.values())).shape[0]
        chosen = random.randint(rng_key, row_mask.shape, 0, num_rows)
        return {argument.name: self.rows[argument.name][chosen] for argument in arguments}

    def check(self, arguments: Sequence[Argument]) -> None:
        """The table must hold every covariate, with as many columns as the envelope allows."""
        for argument in arguments:
            if argument.name not in self.rows:
                raise InputError(f"covariates='resampled' has no rows for covariate '{argument.name}'; give them")
            have = self.rows[argument.name].shape[1:]
            if have != argument.shape:
                raise InputError(
                    f"covariates='resampled' draws rows of the example, whose '{argument.name}' has shape {have} per "
                    f"row, while the envelope reaches {argument.shape}; give an example of that width or "
                    "covariates='normal' or 'table'"
                )


def z_score(columns: Float[Array, "obs column"], row_mask: Bool[Array, " obs"]) -> Float[Array, "obs column"]:
    """Columns with mean 0 and sd 1 (ddof 0) over the real rows; a constant column becomes 0."""
    weights = row_mask[:, None] / jnp.maximum(jnp.sum(row_mask), 1)
    centred = columns - jnp.sum(jnp.where(row_mask[:, None], columns, 0.0) * weights, axis=0)
    variance = jnp.sum(jnp.where(row_mask[:, None], centred, 0.0) ** 2 * weights, axis=0)
    return centred / jnp.sqrt(jnp.where(variance > 1e-8, variance, 1.0)) * (variance > 1e-8)


COVARIATE_LAWS: dict[str, Any] = {"normal": StandardNormal, "table": TableLike, "resampled": ResampledRows}
