"""Problem: a NumPyro model as mathematics on flat vectors and padded datasets.

Every method speaks of one dataset and one `z`; `jax.vmap` adds batches at the edge.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpyro import handlers
from numpyro.infer.util import compute_log_probs
from numpyro.primitives import Messenger

from posterity.dataset import Dataset
from posterity.problem.arguments import Argument, Model, model_name
from posterity.problem.covariates import CovariateLaw, masked_values
from posterity.problem.envelope import Envelope
from posterity.problem.inspection import DataSite
from posterity.problem.plates import AxisGroup
from posterity.problem.space import LatentSpace, broadcast_mask

__all__ = ["Problem"]

PlateMasks = Mapping[str, Bool[Array, " _"]]


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Everything mathematical that a model and an envelope define; made by `build_problem`.

    Attributes:
        model: The NumPyro model.
        arguments: Its data and covariate arguments, at capacity.
        space: Latents <-> `z`.
        data_sites: Sites that observe an argument.
        envelope: Sizes that training covers.
        covariate_law: How covariates are drawn while training.
        plate_axes: Variable plate -> the argument axes that set its size.
        axis_groups: All argument axes that latents follow, for names.
        example_shapes: Argument -> shape and dtype in the example, enough to trace the model again.
    """

    model: Model
    arguments: tuple[Argument, ...]
    space: LatentSpace
    data_sites: tuple[DataSite, ...]
    envelope: Envelope
    covariate_law: CovariateLaw
    plate_axes: Mapping[str, AxisGroup]
    axis_groups: tuple[AxisGroup, ...]
    example_shapes: Mapping[str, tuple[tuple[int, ...], str]]

    @property
    def name(self) -> str:
        """Name of the model function."""
        return model_name(self.model)

    @property
    def covariates(self) -> tuple[Argument, ...]:
        """Arguments that are conditioned on."""
        return tuple(a for a in self.arguments if a.role == "covariate")

    @property
    def data(self) -> tuple[Argument, ...]:
        """Arguments that the model observes."""
        return tuple(a for a in self.arguments if a.role == "data")

    @property
    def capacity(self) -> dict[str, int]:
        """Variable plate -> largest number of entries."""
        return {name: high for name, (_, high) in self.envelope.plates.items()}

    def plate_masks(self, sizes: Mapping[str, Any]) -> dict[str, Bool[Array, " _"]]:
        """Masks that keep the first `sizes[plate]` entries of each variable plate."""
        return {name: jnp.arange(capacity) < sizes[name] for name, capacity in self.capacity.items()}

    def draw_covariates(
        self, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> dict[str, Array]:
        """Covariates of one training dataset, zero in padded rows and masked entries."""
        drawn = self.covariate_law.draw(rng_key, self.covariates, row_mask, plate_masks)
        return masked_values(drawn, self.covariates, row_mask, plate_masks)

    def sample_prior(self, rng_key: PRNGKeyArray, covariates: Mapping[str, Array], num_rows: int) -> Array:
        """One draw `z` of shape `(latent,)` from the prior, all plates at capacity."""
        trace = handlers.trace(handlers.seed(self.model, rng_key)).get_trace(
            **covariates, **self._data_placeholders(num_rows)
        )
        return self.space.unconstrain({s.name: trace[s.name]["value"] for s in self.space.sites})

    def simulate(
        self, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> tuple[Dataset, Float[Array, " latent"]]:
        """One draw (D, z) of the joint; masked coordinates of `z` are zero."""
        key_covariates, key_prior, key_data = random.split(rng_key, 3)
        covariates = self.draw_covariates(key_covariates, row_mask, plate_masks)
        z = self.sample_prior(key_prior, covariates, row_mask.shape[0])
        z = jnp.where(self.space.mask(plate_masks), z, 0.0)
        return self.simulate_data(key_data, z, covariates, row_mask, plate_masks), z

    def simulate_data(
        self,
        rng_key: PRNGKeyArray,
        z: Float[Array, " latent"],
        covariates: Mapping[str, Array],
        row_mask: Bool[Array, " obs"],
        plate_masks: PlateMasks,
    ) -> Dataset:
        """One dataset drawn from the likelihood at `z`, rows independent."""
        model = handlers.substitute(self.model, self.space.constrain(z))
        trace = handlers.trace(handlers.seed(_DrawObserved(model), rng_key)).get_trace(
            **covariates, **self._data_placeholders(row_mask.shape[0])
        )
        dtypes = {a.name: a.dtype for a in self.data}
        drawn = {s.argument: trace[s.name]["value"].astype(dtypes[s.argument]) for s in self.data_sites}
        drawn = masked_values(drawn, self.data, row_mask, plate_masks)
        return Dataset({**covariates, **drawn}, row_mask, dict(plate_masks))

    def log_prior_and_likelihood(
        self, z: Float[Array, " latent"], dataset: Dataset
    ) -> tuple[Float[Array, ""], Float[Array, " obs"]]:
        """Log prior density of `z` (log-det of `constrain` included) and log likelihood of each row, in nats.

        Masked latents count in neither; padded rows have log likelihood 0.
        """
        masks = dataset.plate_masks
        z = jnp.where(self.space.mask(masks), z, 0.0)
        latents, log_det = self.space.constrain_and_log_det(z, masks)
        log_probs, _ = compute_log_probs(
            handlers.seed(self.model, random.key(0)),  # every latent is given: the key is never used
            (),
            self._filled(dataset),
            latents,
            sum_log_prob=False,
        )
        log_prior = log_det
        for site in self.space.sites:
            log_prob = log_probs[site.name]
            mask = broadcast_mask(site.plates, masks, jnp.shape(log_prob))
            log_prior += jnp.sum(jnp.where(mask, log_prob, 0.0))
        rows = jnp.zeros(dataset.row_mask.shape)
        for site in self.data_sites:
            rows += _sum_rows(log_probs[site.name], site, masks)
        return log_prior, jnp.where(dataset.row_mask, rows, 0.0)

    def log_likelihood(self, z: Float[Array, " latent"], dataset: Dataset) -> Float[Array, " obs"]:
        """Log likelihood of each row in nats, 0 for padded rows."""
        return self.log_prior_and_likelihood(z, dataset)[1]

    def log_joint(self, z: Float[Array, " latent"], dataset: Dataset) -> Float[Array, ""]:
        """Log prior of `z` (with log-det) + log likelihood of all rows, in nats."""
        log_prior, rows = self.log_prior_and_likelihood(z, dataset)
        return log_prior + jnp.sum(rows)

    def unsupported_rows(self, dataset: Dataset) -> dict[str, Bool[Array, " obs"]]:
        """Data argument -> True for real rows whose value the likelihood cannot produce (such as a count of -1)."""
        latents = self.space.constrain(jnp.zeros(self.space.size))
        model = handlers.seed(handlers.substitute(self.model, latents), random.key(0))
        trace = handlers.trace(model).get_trace(**self._filled(dataset))
        outside = {}
        for site in self.data_sites:
            inside = trace[site.name]["fn"].support(trace[site.name]["value"])
            flat = jnp.reshape(jnp.moveaxis(inside, site.row_axis, 0), (dataset.row_mask.shape[0], -1))
            outside[site.argument] = dataset.row_mask & ~jnp.all(flat, axis=1)
        return outside

    def _data_placeholders(self, num_rows: int) -> dict[str, Array]:
        return {a.name: jnp.zeros((num_rows, *a.shape), a.dtype) for a in self.data}

    def _filled(self, dataset: Dataset) -> dict[str, Array]:
        """Values with padding replaced by the first row and masked data by the first entry.

        Their log probabilities are dropped afterwards; real values keep them, and their gradients, finite.
        """
        filled = {}
        for argument in self.arguments:
            array = dataset.values[argument.name]
            if argument.role == "data":
                for axis, plate in enumerate(argument.plates, start=1):
                    if plate is not None:
                        along = jnp.reshape(dataset.plate_masks[plate], _along(axis, array.ndim))
                        array = jnp.where(along, array, jnp.take(array, jnp.array([0]), axis=axis))
            mask = jnp.reshape(dataset.row_mask, _along(0, array.ndim))
            filled[argument.name] = jnp.where(mask, array, array[:1])
        return filled


def _along(axis: int, ndim: int) -> tuple[int, ...]:
    """Shape that lays a vector along `axis` of an array of `ndim` axes."""
    return tuple(-1 if a == axis else 1 for a in range(ndim))


def _sum_rows(
    log_prob: Float[Array, "..."], site: DataSite, plate_masks: PlateMasks
) -> Float[Array, " obs"]:
    """Log probability of each row: masked plate entries dropped, other axes summed."""
    plates: Sequence[str | None] = [None] * (log_prob.ndim - len(site.plates)) + list(site.plates)
    mask = broadcast_mask(plates, plate_masks, log_prob.shape)
    kept = jnp.where(mask, log_prob, 0.0)
    return jnp.sum(jnp.moveaxis(kept, site.row_axis, 0), axis=tuple(range(1, log_prob.ndim)))


class _DrawObserved(Messenger):
    """Draws the observed sites from their distributions, one independent value per entry of the placeholder.

    NumPyro's `uncondition` would draw a single value where a model relies on broadcasting against the data, as in
    `sample("obs", Bernoulli(p), obs=data)`; here the distribution is expanded to the batch shape of the data.
    """

    def process_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Turns an observed site into a sampled one."""
        if msg["type"] != "sample" or not msg["is_observed"]:
            return
        distribution, placeholder = msg["fn"], msg["value"]
        data_batch = placeholder.shape[: placeholder.ndim - distribution.event_dim]
        batch_shape = jnp.broadcast_shapes(distribution.batch_shape, data_batch)
        if batch_shape != distribution.batch_shape:
            msg["fn"] = distribution.expand(batch_shape)
        msg["is_observed"] = False
        msg["value"] = None
