"""Model: a NumPyro program as mathematics on flat vectors and padded datasets.

Every method speaks of one dataset and one `z`; `jax.vmap` adds batches at the edge.
"""

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpyro import handlers
from numpyro.infer.util import compute_log_probs
from numpyro.primitives import Messenger

from posterity.model.arguments import Argument, ModelFunction, model_name
from posterity.model.counts import with_float_counts
from posterity.model.dataset import Dataset
from posterity.model.events import MaskEvents
from posterity.model.groups import GroupPlate
from posterity.model.improper import StartImproper
from posterity.model.sites import AxisGroup, DataSite, LatentSite
from posterity.model.space import LatentSpace, PlateMasks, broadcast_mask, masked_values
from posterity.runtime.errors import InputError
from posterity.runtime.threads import NUMPYRO

__all__ = ["Model"]

EDGE = 87.0  # minus log of the smallest float32: what draws that underflow to 0, or overflow, stand for


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """Everything mathematical that a NumPyro program defines for arguments of given shapes; made by `read_model`.

    A value: equal for the same function, shapes and capacities, so that nothing is compiled twice.

    Attributes:
        function: The NumPyro program.
        arguments: Its data and covariate arguments, at capacity.
        space: Latents <-> `z`.
        data_sites: Sites that observe an argument.
        capacity: Variable plate -> largest number of entries. Any other plate keeps the size that it has here.
        plate_axes: Variable plate -> the argument axes that set its size.
        axis_groups: All argument axes that latents follow, for names.
        example_shapes: Argument -> shape and dtype in the example, enough to read the program again.
        key: What two equal models have in common.
        whole: Why its rows are not exchangeable, so that a whole dataset counts as one observation; else empty.
        groups: Variable plates whose size is a number among the arguments; they are no part of `plate_axes`.
    """

    function: ModelFunction
    arguments: tuple[Argument, ...]
    space: LatentSpace
    data_sites: tuple[DataSite, ...]
    capacity: Mapping[str, int]
    plate_axes: Mapping[str, AxisGroup]
    axis_groups: tuple[AxisGroup, ...]
    example_shapes: Mapping[str, tuple[tuple[int, ...], str]]
    key: Hashable
    whole: str = ""
    groups: tuple[GroupPlate, ...] = ()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Model) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        arrays = [a for a in self.arguments if not a.is_size]
        axes = {a.name: [plate or str(n) for plate, n in zip(a.plates, a.shape, strict=True)] for a in arrays}
        rows = [] if self.whole else ["rows"]
        shown = ", ".join(f"{name}[{', '.join([*rows, *names])}]" for name, names in axes.items())
        shown += "".join(f", {group.argument} up to {self.capacity[group.plate]}" for group in self.groups)
        return f"Model({self.name}: {shown}; latents {', '.join(site.name for site in self.space.sites)})"

    @property
    def name(self) -> str:
        """Name of the function."""
        return model_name(self.function)

    @property
    def covariates(self) -> tuple[Argument, ...]:
        """Arguments that are conditioned on."""
        return tuple(a for a in self.arguments if a.role == "covariate")

    @property
    def data(self) -> tuple[Argument, ...]:
        """Arguments that the model observes."""
        return tuple(a for a in self.arguments if a.role == "data")

    @property
    def improper_sites(self) -> tuple[str, ...]:
        """Latent sites whose prior is flat: neither they nor data can be simulated."""
        return tuple(site.name for site in self.space.sites if site.improper)

    def num_terms(self, num_rows: int) -> int:
        """Log likelihoods that so many rows come to, about: those of the whole dataset where it is one observation."""
        return max((math.prod(a.shape) for a in self.arguments), default=1) if self.whole else num_rows

    def require_rows(self, what: str) -> None:
        """Raises InputError where a whole dataset counts as one observation: there are no rows to speak of."""
        if self.whole:
            raise InputError(
                f"{what}: '{self.name}' counts a whole dataset as one observation, so there is nothing to say row by "
                f"row. Its rows are not exchangeable: {self.whole}"
            )

    def plate_masks(self, sizes: Mapping[str, Any]) -> dict[str, Bool[Array, " _"]]:
        """Masks that keep the first `sizes[plate]` entries of each variable plate."""
        masks = {name: np.arange(capacity) < sizes[name] for name, capacity in self.capacity.items()}
        return jax.device_put(masks)  # arithmetic on JAX's arrays would compile programs for sizes that are numbers

    def sample_prior(
        self,
        rng_key: PRNGKeyArray,
        covariates: Mapping[str, Array],
        num_rows: int,
        plate_masks: PlateMasks | None = None,
    ) -> Float[Array, " latent"]:
        """One draw `z` from the prior; coordinates of masked plate entries are zero.

        Improper priors have no draws: their latents are standard normal, unconstrained.

        Args:
            rng_key: Consumed here.
            covariates: Covariates of the dataset; latents may depend on their shapes only. Where the dataset counts as
                one observation, all arguments may be among them.
            num_rows: Rows, padding included.
            plate_masks: Entries of the variable plates that the dataset has; all of them if None.
        """
        masks = self.plate_masks(self.capacity) if plate_masks is None else plate_masks
        model = handlers.trace(handlers.seed(self.function, rng_key))
        with (
            NUMPYRO,
            StartImproper(),
            _MaskLatents(self.space, masks),
        ):  # outside, so that later sites and the trace see masked values
            trace = model.get_trace(**{**self._data_placeholders(num_rows), **covariates})
        z = self.space.unconstrain({s.name: trace[s.name]["value"] for s in self.space.sites})
        # Where a prior reaches beyond float32, as Gamma(0.01) does, a draw is 0 or infinite and so would be its z.
        z = jnp.where(jnp.isinf(z), jnp.sign(z) * EDGE, z)
        if self.whole:  # its prior may follow the data, for which zeros stand here
            z = jnp.nan_to_num(z)
        return jnp.where(self.space.mask(masks), z, 0.0)

    def simulate_data(
        self,
        rng_key: PRNGKeyArray,
        z: Float[Array, " latent"],
        covariates: Mapping[str, Array],
        row_mask: Bool[Array, " obs"],
        plate_masks: PlateMasks,
    ) -> Dataset:
        """One dataset drawn from the likelihood at `z`, rows independent."""
        return self.simulate_data_at(rng_key, self.space.constrain(z), covariates, row_mask, plate_masks)

    def simulate_data_at(
        self,
        rng_key: PRNGKeyArray,
        latents: Mapping[str, Array],
        covariates: Mapping[str, Array],
        row_mask: Bool[Array, " obs"],
        plate_masks: PlateMasks,
    ) -> Dataset:
        """One dataset drawn from the likelihood at latents in their supports; see `simulate_data`."""
        dtypes = {a.name: a.dtype for a in self.data}
        trace = self._simulated_trace(rng_key, latents, covariates, row_mask.shape[0])
        drawn = {s.argument: trace[s.name]["value"].astype(dtypes[s.argument]) for s in self.data_sites}
        drawn = masked_values(drawn, self.data, row_mask, plate_masks)
        return Dataset({**covariates, **drawn}, row_mask, dict(plate_masks))

    def counts_at(
        self, rng_key: PRNGKeyArray, latents: Mapping[str, Array], covariates: Mapping[str, Array], num_rows: int
    ) -> tuple[dict[str, Float[Array, "obs ..."]], dict[str, Float[Array, "obs ..."]]]:
        """Counts drawn from the likelihood, and their means: as floats, since int32 ends at 2^31.

        Args:
            rng_key: Consumed here; with the key of `simulate_data_at`, the draws are the same.
            latents: Latent site -> value in its support.
            covariates: Covariates of the dataset.
            num_rows: Rows, padding included.

        Returns:
            Data argument whose kind is `count` -> draws; and -> means, where the likelihood knows its own.
        """
        trace = self._simulated_trace(rng_key, latents, covariates, num_rows)
        counts = {a.name: a for a in self.data if a.kind == "count"}
        drawn, means = {}, {}
        for site in self.data_sites:
            if site.argument in counts:
                shape = (num_rows, *counts[site.argument].shape)
                drawn[site.argument] = trace[site.name]["value"].astype(jnp.float32)
                try:
                    mean = trace[site.name]["fn"].mean
                except NotImplementedError:  # NumPyro knows no mean of it: the caller takes that of the draws
                    continue
                means[site.argument] = jnp.broadcast_to(mean, shape).astype(jnp.float32)
        return drawn, means

    def _simulated_trace(
        self, rng_key: PRNGKeyArray, latents: Mapping[str, Array], covariates: Mapping[str, Array], num_rows: int
    ) -> dict[str, Any]:
        model = handlers.substitute(self.function, dict(latents))
        simulator = handlers.trace(handlers.seed(_DrawObserved(model), rng_key))
        with NUMPYRO:
            return simulator.get_trace(**covariates, **self._data_placeholders(num_rows))

    def log_prior_and_likelihood(
        self, z: Float[Array, " latent"], dataset: Dataset
    ) -> tuple[Float[Array, ""], Float[Array, " obs"]]:
        """Log prior density of `z` (log-det of `constrain` included) and log likelihood of each row, in nats.

        Masked latents count in neither; padded rows have log likelihood 0.
        """
        log_det, sites = self.site_log_probs(z, dataset)
        log_prior = log_det + sum(jnp.sum(sites[site.name]) for site in self.space.sites)
        num_rows = 1 if self.whole else dataset.row_mask.shape[0]
        rows = sum(jnp.sum(jnp.reshape(sites[site.name], (num_rows, -1)), axis=1) for site in self.data_sites)
        return log_prior, jnp.asarray(rows)

    def site_log_probs(
        self, z: Float[Array, " latent"], dataset: Dataset
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, "..."]]]:
        """Log-det of `constrain`, and log probabilities of each site, in nats.

        Entries of masked plate entries and of padded rows are 0, for latent and data sites alike; the first axis of
        a data site runs along the rows.
        """
        masks = dataset.plate_masks
        z = jnp.where(self.space.mask(masks), z, 0.0)  # whatever stands there, NaN included, must not matter
        latents, log_det = self.space.constrain_and_log_det(z, masks)
        return log_det, self.site_log_probs_at(latents, dataset)

    def site_log_probs_at(self, latents: Mapping[str, Array], dataset: Dataset) -> dict[str, Float[Array, "..."]]:
        """Log probabilities of each site at latents in their supports; see `site_log_probs`."""
        seeded = handlers.seed(self.function, random.key(0))  # every latent is given: the key is never used
        model = MaskEvents(seeded, f"model '{self.name}'", self._event_masks(dataset.plate_masks))
        with NUMPYRO, StartImproper():
            log_probs, _ = compute_log_probs(model, (), self._filled(dataset), dict(latents), sum_log_prob=False)
        sites = (*self.space.sites, *self.data_sites)
        found = {
            site.name: jnp.where(
                self.site_mask(site, jnp.shape(log_probs[site.name]), dataset), log_probs[site.name], 0
            )
            for site in sites
        }
        if dataset.weight is not None:
            found |= {site.name: dataset.weight * found[site.name] for site in self.data_sites}
        return found

    @staticmethod
    def site_mask(site: LatentSite | DataSite, shape: tuple[int, ...], dataset: Dataset) -> Bool[Array, "..."]:
        """True where the log probability of a site counts.

        Args:
            site: A latent or data site.
            shape: Shape of its log probabilities.
            dataset: Padded dataset.
        """
        mask = broadcast_mask(site.plates, dataset.plate_masks, shape)
        if not isinstance(site, DataSite):
            return mask
        return mask & (_along_axis(dataset.row_mask, 0, len(shape)) if site.by_row else dataset.row_mask[0])

    def log_likelihood(self, z: Float[Array, " latent"], dataset: Dataset) -> Float[Array, " obs"]:
        """Log likelihood of each row in nats, 0 for padded rows."""
        return self.log_prior_and_likelihood(z, dataset)[1]

    def log_joint(self, z: Float[Array, " latent"], dataset: Dataset) -> Float[Array, ""]:
        """Log prior of `z` (with log-det) + log likelihood of all rows, in nats."""
        log_prior, rows = self.log_prior_and_likelihood(z, dataset)
        return log_prior + jnp.sum(rows)

    def unsupported_rows(self, dataset: Dataset) -> dict[str, Bool[Array, " obs"]]:
        """Data argument -> True for real rows whose value no latents can produce (such as a count of -1).

        A site that observes no argument as it is stands under its own name.
        Sites whose support follows a latent, as that of Uniform(0, theta) does, are left to the likelihood.
        """
        latents = self.space.constrain(jnp.zeros(self.space.size))
        model = handlers.seed(handlers.substitute(self.function, latents), random.key(0))
        with NUMPYRO:
            trace = handlers.trace(model).get_trace(**self._filled(dataset))
        outside = {}
        for site in self.data_sites:
            if site.fixed_support:
                inside = trace[site.name]["fn"].support(trace[site.name]["value"])
                by_row = jnp.all(jnp.reshape(inside, (dataset.row_mask.shape[0], -1)), axis=1)
                outside[site.argument or site.name] = dataset.row_mask & ~by_row
        return outside

    def _event_masks(self, plate_masks: PlateMasks) -> dict[str, Bool[Array, "*event"]]:
        """For data sites with event axes along variable plates, the entries of an event that count."""
        masks = {}
        for site in self.data_sites if self.capacity else ():
            argument = next(a for a in self.data if a.name == site.argument)
            first = len(site.plates) - 1  # its batch axes come first, and rows are no axis of an argument's shape
            if any(argument.plates[first:]):
                masks[site.name] = broadcast_mask(argument.plates[first:], plate_masks, argument.shape[first:])
        return masks

    def _data_placeholders(self, num_rows: int) -> dict[str, Array]:
        return {a.name: jnp.zeros((num_rows, *a.shape), a.dtype) for a in self.data}

    def _filled(self, dataset: Dataset) -> dict[str, Array]:
        """Values whose padding is harmless, whatever stands in it.

        Padded rows repeat the first real row and masked data the first entry along their plate: their log
        probabilities are dropped afterwards, but must be finite, and have finite gradients, until then. So do what
        stands for groups that are masked; other masked covariates are zero, as columns must be.
        """
        first_row = jnp.argmax(dataset.row_mask)
        groups = {group.plate for group in self.groups}
        filled = {}
        for argument in self.arguments:
            array = dataset.values[argument.name]
            for axis, plate in enumerate(argument.plates, start=1):
                if plate is not None:
                    mask = _along_axis(dataset.plate_masks[plate], axis, array.ndim)
                    first = lax.slice_in_dim(array, 0, 1, axis=axis)
                    repeated = argument.role == "data" or plate in groups
                    array = jnp.where(mask, array, first if repeated else jnp.zeros_like(first))
            filled[argument.name] = jnp.where(_along_axis(dataset.row_mask, 0, array.ndim), array, array[first_row])
        return filled


def _along_axis(mask: Bool[Array, " _"], axis: int, ndim: int) -> Bool[Array, "..."]:
    """The mask laid along one axis of an array of `ndim` axes, ready to broadcast."""
    return jnp.reshape(mask, tuple(-1 if a == axis else 1 for a in range(ndim)))


class _MaskLatents(Messenger):
    """Sets masked entries of latents to what `constrain` makes of 0, as soon as they are drawn.

    Sites that come later then see what `log_joint` sees: a mean over a plate must not notice masked entries.
    """

    def __init__(self, space: LatentSpace, plate_masks: PlateMasks):
        super().__init__()
        self.sites = {site.name: site for site in space.sites}
        self.space, self.plate_masks = space, plate_masks

    def postprocess_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Masks the value of a latent site."""
        if msg["type"] == "sample" and msg["name"] in self.sites:
            site = self.sites[msg["name"]]
            msg["value"] = self.space.masked_value(site, msg["value"], self.plate_masks)


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
            distribution = distribution.expand(batch_shape)
        msg["fn"] = with_float_counts(distribution)
        msg["is_observed"] = False
        msg["value"] = None
