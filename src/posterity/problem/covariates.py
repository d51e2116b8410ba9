"""How covariates are drawn while training: the one thing that a model cannot say."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.checks import InputError
from posterity.problem.arguments import Argument
from posterity.problem.space import broadcast_mask

__all__ = ["COVARIATE_LAWS", "CovariateLaw", "ResampledRows", "StandardNormal", "TableLike"]


@runtime_checkable
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
    """Covariates that look like the columns of real tables, z-scored (mean 0, sd 1, ddof 0).

    Columns share random factors, so that they correlate from hardly to nearly collinear; each column is then
    left as it is, made heavy-tailed and skewed, or cut into a binary indicator.

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
        keys = random.split(rng_key, max(len(arguments), 1))
        return {
            argument.name: self._draw_one(key, argument, row_mask)
            for argument, key in zip(arguments, keys, strict=False)
        }

    def check(self, arguments: Sequence[Argument]) -> None:
        """Real covariates only."""
        _refuse_discrete(self.name, arguments)

    def _draw_one(
        self, rng_key: PRNGKeyArray, argument: Argument, row_mask: Bool[Array, " obs"]
    ) -> Float[Array, "obs ..."]:
        num_rows, num_columns = row_mask.shape[0], int(np.prod(argument.shape))
        keys = random.split(rng_key, 7)
        strength = random.uniform(keys[0], ()) ** 2 * random.uniform(keys[1], (num_columns,))  # share of variance
        loadings = random.normal(keys[2], (self.num_factors, num_columns))
        loadings /= jnp.sqrt(jnp.sum(loadings**2, axis=0))
        shared = random.normal(keys[3], (num_rows, self.num_factors)) @ loadings
        own = random.normal(keys[4], (num_rows, num_columns))
        latent = jnp.sqrt(0.98 * strength) * shared + jnp.sqrt(1 - 0.98 * strength) * own
        kind = random.uniform(keys[5], (num_columns,))
        cut = random.uniform(keys[6], (num_columns,), minval=-1.3, maxval=1.3)
        columns = jnp.where(kind < 0.2, jnp.where(latent > cut, 1.0, 0.0), latent)
        columns = jnp.where((kind >= 0.2) & (kind < 0.35), jnp.sinh(latent), columns)
        columns = jnp.where((kind >= 0.35) & (kind < 0.45), jnp.exp(0.7 * latent), columns)
        columns = z_score(columns, row_mask)
        return jnp.reshape(columns, (num_rows, *argument.shape))


@dataclasses.dataclass(frozen=True)
class ResampledRows:
    """Rows drawn with replacement from the covariates of a real table, all arguments together.

    Attributes:
        rows: Covariate name -> array `(rows, *shape)`.
    """

    rows: Mapping[str, Array]
    name = "resampled"

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
        """The table must hold every column that the envelope allows."""
        for argument in arguments:
            have = self.rows[argument.name].shape[1:]
            if have != argument.shape:
                raise InputError(
                    f"covariates='resampled' draws rows of the example, whose '{argument.name}' has shape {have} "
                    f"per row, while the envelope reaches {argument.shape}; give a wider example or another law"
                )


def z_score(columns: Float[Array, "obs column"], row_mask: Bool[Array, " obs"]) -> Float[Array, "obs column"]:
    """Columns with mean 0 and sd 1 (ddof 0) over the real rows; a constant column becomes 0."""
    weights = row_mask[:, None] / jnp.maximum(jnp.sum(row_mask), 1)
    centred = columns - jnp.sum(jnp.where(row_mask[:, None], columns, 0.0) * weights, axis=0)
    variance = jnp.sum(jnp.where(row_mask[:, None], centred, 0.0) ** 2 * weights, axis=0)
    return centred / jnp.sqrt(jnp.where(variance > 1e-8, variance, 1.0)) * (variance > 1e-8)


COVARIATE_LAWS: dict[str, Any] = {"normal": StandardNormal, "table": TableLike, "resampled": ResampledRows}


def masked_values(
    values: Mapping[str, Array],
    arguments: Sequence[Argument],
    row_mask: Bool[Array, " obs"],
    plate_masks: Mapping[str, Bool[Array, " _"]],
) -> dict[str, Array]:
    """Arrays with zeros in padded rows and in masked plate entries."""
    result = {}
    for argument in arguments:
        array = values[argument.name]
        mask = broadcast_mask((None, *argument.plates), plate_masks, array.shape)
        mask &= jnp.reshape(row_mask, (-1,) + (1,) * (array.ndim - 1))
        result[argument.name] = jnp.where(mask, array, jnp.zeros((), array.dtype))
    return result
