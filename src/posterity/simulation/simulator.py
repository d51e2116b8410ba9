"""The simulator: draws of a model's joint, for all sizes of datasets that an estimator is trained for."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.model.arguments import ModelFunction, example_arrays
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.model.read import read_model
from posterity.model.soundness import FEWEST_ROWS, MOST_ROWS, check_model
from posterity.model.space import PlateMasks, masked_values
from posterity.runtime.errors import InputError, RowsError, lookup
from posterity.simulation.covariates import COVARIATE_LAWS, CovariateLaw, ResampledRows
from posterity.simulation.envelope import Envelope

__all__ = ["Simulator", "build_simulator"]


@dataclasses.dataclass(frozen=True, eq=False)
class Simulator:
    """What training needs besides the model: made by `build_simulator`.

    Attributes:
        model: The model.
        envelope: Sizes that training covers.
        covariate_law: How covariates are drawn.
    """

    model: Model
    envelope: Envelope
    covariate_law: CovariateLaw

    def __repr__(self) -> str:
        return f"Simulator of {self.model.name}: {self.envelope}; covariates {self.covariate_law.name}"

    def example(self) -> dict[str, np.ndarray]:
        """A small dataset, every plate at its capacity."""
        masks = self.model.plate_masks(self.model.capacity)
        dataset, _ = self.simulate(random.key(0), jnp.ones(min(self.envelope.rows[1], 16), bool), masks)
        return {name: np.asarray(values) for name, values in dataset.values.items()}

    def draw_covariates(
        self, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> dict[str, Array]:
        """Covariates of one dataset, zero in padded rows and masked entries."""
        drawn = self.covariate_law.draw(rng_key, self.model.covariates, row_mask, plate_masks)
        return masked_values(drawn, self.model.covariates, row_mask, plate_masks)

    def simulate(
        self, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> tuple[Dataset, Float[Array, " latent"]]:
        """One draw (D, z) of the joint; masked coordinates of `z` are zero.

        Args:
            rng_key: Consumed here.
            row_mask: Rows that the dataset has.
            plate_masks: Entries of the variable plates that it has.
        """
        key_covariates, key_prior, key_data = random.split(rng_key, 3)
        covariates = self.draw_covariates(key_covariates, row_mask, plate_masks)
        z = self.model.sample_prior(key_prior, covariates, row_mask.shape[0], plate_masks)
        return self.model.simulate_data(key_data, z, covariates, row_mask, plate_masks), z


def build_simulator(
    function: ModelFunction,
    example: Mapping[str, Any],
    envelope: Envelope | None = None,
    *,
    covariates: str | CovariateLaw = "resampled",
    check: bool = True,
) -> Simulator:
    """Reads a model, checks that it can be simulated, and joins it with what training draws.

    Args:
        function: A NumPyro program, see `posterity.model.read.read_model`.
        example: One dataset: argument name -> array with rows first. Its values may be made up; its shapes and dtypes
            count, and with `covariates="resampled"` so do its rows.
        envelope: Rows and plates that training covers; rows 16 to 128 and no variable plate if None.
        covariates: How covariates are drawn in training: "resampled" (rows of the example), "normal", "table",
            or an object with the methods of `CovariateLaw`.
        check: Simulate and compare densities to make sure that masks are sound. Only a trusted artifact that
            was checked when it was made goes without.

    Raises:
        InputError: The model cannot serve; the message names the site and the cure.
    """
    envelope = envelope or Envelope()
    try:
        return _built(function, example, envelope, covariates, check=check)
    except RowsError as error:
        raise RowsError(
            f"{error}. Training simulates exchangeable rows; posterity.infer answers what has none without training, "
            "a dataset as one observation"
        ) from None


def _built(
    function: ModelFunction,
    example: Mapping[str, Any],
    envelope: Envelope,
    covariates: str | CovariateLaw,
    *,
    check: bool,
) -> Simulator:
    model = read_model(function, example, {plate: high for plate, (_, high) in envelope.plates.items()})
    if model.improper_sites:
        raise InputError(
            f"model '{model.name}': latent site '{model.improper_sites[0]}' has an improper prior, which cannot be "
            "simulated; give it a proper one, or infer without training"
        )
    law = _covariate_law(covariates, model, example)
    law.check(model.covariates)
    simulator = Simulator(model, envelope, law)
    if check:
        rows = jnp.ones(min(max(envelope.rows[0], FEWEST_ROWS), MOST_ROWS), bool)
        smallest = {plate: low for plate, (low, _) in envelope.plates.items()}
        check_model(model, lambda key, masks: simulator.simulate(key, rows, masks), smallest)
    return simulator


def _covariate_law(covariates: str | CovariateLaw, model: Model, example: Mapping[str, Any]) -> CovariateLaw:
    if not isinstance(covariates, str):
        return covariates
    law = lookup("covariate law", covariates, COVARIATE_LAWS)
    if law is not ResampledRows:
        return law()
    arrays = example_arrays(model.function, example)
    return ResampledRows({argument.name: jnp.asarray(arrays[argument.name]) for argument in model.covariates})
