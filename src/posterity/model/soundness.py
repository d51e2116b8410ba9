"""Checks by numbers, before anything is trained: finite densities, independent rows, plates that mask away."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import handlers
from numpyro.infer.util import compute_log_probs
from numpyro.primitives import Messenger

from posterity.model.dataset import Dataset
from posterity.model.derivatives import explained_derivatives
from posterity.model.flat import flattened
from posterity.model.groups import SizedProgram
from posterity.model.model import Model
from posterity.model.plates import cut
from posterity.runtime.compile import jit
from posterity.runtime.errors import InputError, RowsError
from posterity.runtime.keys import for_purpose, quick_key
from posterity.runtime.threads import NUMPYRO

__all__ = ["Draw", "UnsupportedRowsError", "check_at_rows", "check_model", "draw_from_rows", "look_at_rows"]

NUM_PROBES = 3
FEWEST_ROWS, MOST_ROWS = 4, 16
PULLS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.0)
# Float32 sums of a few hundred terms agree to about 1e-5 of their size; a leak is off by much more.
TOLERANCE = 1e-3
# Where large terms cancel (a mean of 10^6 with noise 1) rounding weighs more. How much is seen by nudging z by a few
# units in the last place; what that many nudges could explain proves nothing.
NUDGE, NUDGES = 1e-6, 30.0

Numbers = Array | np.ndarray  # JAX while compiled, NumPy once compared
SiteLogProbs = Mapping[str, Numbers]  # latent site -> scalar, data site -> (obs,), in nats


class UnsupportedRowsError(Exception):
    """Rows were looked at that the model cannot produce, such as a count of -1."""


Draw = Callable[[PRNGKeyArray, Mapping[str, Array]], tuple[Dataset, Float[Array, " latent"]]]
"""(key, plate masks) -> a dataset, all rows real, and latents at which to look at it."""


def check_model(
    model: Model, draw: Draw, smallest: Mapping[str, int] | None = None
) -> tuple[Dataset, Float[Array, " latent"]]:
    """Compares densities of a few datasets that must agree.

    Args:
        model: The model.
        draw: Where datasets and latents come from.
        smallest: Variable plate -> smallest size that shall be answered; one less than its capacity if not named.

    Returns:
        The first dataset and its latents, to look at.

    Raises:
        InputError: The log joint or its gradient is not finite; a prior or a row's likelihood depends on (other) rows
            or on their order; data enter elsewhere than through `obs=`; a variable plate does not vanish where it is
            masked.
    """
    program = _program(model, draw, lambda seed: for_purpose(random.key(seed), "simulated rows"))
    return _check(model, partial(_pulled, program, (1.0,)), smallest or {})


def check_at_rows(model: Model, arrays: Mapping[str, np.ndarray]) -> tuple[Dataset, Float[Array, " latent"]]:
    """The same with rows of one dataset, and latents near draws of the prior: nothing has to be simulated.

    Latents are pulled towards 0 until their log joint and its gradient are finite: wide priors reach far beyond what
    data ever do.

    Args:
        model: The model.
        arrays: Argument -> array with rows first, as `read_arrays` gives it, every plate at its capacity.

    Raises:
        UnsupportedRowsError: No latents can produce some of the rows that are looked at: they say nothing of the model.
        InputError: As `check_model` does.
    """
    return _check(model, _probe_of_rows(model, arrays), {})


def look_at_rows(model: Model, arrays: Mapping[str, np.ndarray]) -> tuple[Dataset, Float[Array, " latent"]]:
    """What `check_at_rows` gives, without the checks.

    Raises:
        UnsupportedRowsError: As there.
    """
    probed = _probe_of_rows(model, arrays)(0, model.capacity)
    return jax.device_put((probed.dataset, probed.z))


def _probe_of_rows(model: Model, arrays: Mapping[str, np.ndarray]) -> Callable[[int, Mapping[str, int]], "_Probe"]:
    program = _program(model, draw_from_rows(model, arrays), quick_key)

    def probe(seed: int, sizes: Mapping[str, int]) -> "_Probe":
        probed = _pulled(program, PULLS, seed, sizes)
        if any(np.any(rows) for rows in probed.unsupported.values()):
            raise UnsupportedRowsError
        return probed

    return probe


def _check(
    model: Model, probe: Callable[[int, Mapping[str, int]], "_Probe"], smallest: Mapping[str, int]
) -> tuple[Dataset, Float[Array, " latent"]]:
    with explained_derivatives(model):
        probes = [probe(seed, model.capacity) for seed in range(NUM_PROBES)]
    for probed in probes:
        _judge(model, probed)
    for plate, capacity in model.capacity.items():
        # Where only one size was asked for, another is checked as well: smaller datasets are answered even then.
        size = min(smallest.get(plate, capacity), capacity - 1)
        if size:
            _check_plate(model, probe, plate, size)
    return jax.device_put((probes[0].dataset, probes[0].z))


def draw_from_rows(model: Model, example: Mapping[str, np.ndarray]) -> Draw:
    """Rows of one dataset, again and again, with latents from the prior: nothing has to be simulated.

    Args:
        model: The model.
        example: Argument -> array with rows first, as `read_arrays` gives it, every plate at its capacity.
    """
    have = len(next(iter(example.values())))
    num_rows = int(np.clip(have, FEWEST_ROWS, MOST_ROWS))
    values = {name: array[np.arange(num_rows) % have] for name, array in example.items()}
    for argument in model.arguments:  # groups beyond those of the example are like its last
        missing = np.subtract(argument.shape, values[argument.name].shape[1:])
        values[argument.name] = np.pad(values[argument.name], [(0, 0), *((0, int(m)) for m in missing)], mode="edge")

    def draw(rng_key: PRNGKeyArray, masks: Mapping[str, Array]) -> tuple[Dataset, Float[Array, " latent"]]:
        rows = {name: jnp.asarray(array) for name, array in values.items()}
        for group in model.groups:  # no row may pick an entry that is masked
            rows |= {name: rows[name] % jnp.sum(masks[group.plate]) for name in group.indices}
        covariates = {argument.name: rows[argument.name] for argument in model.covariates}
        z = model.sample_prior(rng_key, covariates, num_rows, masks)
        return Dataset(rows, jnp.ones(num_rows, bool), dict(masks)), z

    return draw


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Probe:
    """One dataset and its log probabilities, computed in ways that must agree.

    Attributes:
        dataset: The dataset, all rows real.
        z: Latents.
        whole: Log probabilities by site.
        last: The same of a dataset that holds the last half of the rows alone, in reverse; here in `whole`'s order.
        blind: Data argument -> the same with zeros as its value, while `obs=` still gets the data.
        rounding: How much `whole` changes when z is nudged.
        log_det: Log-det of `constrain`.
        gradient: Gradient of the log joint.
        unsupported: Data argument -> rows that no latents can produce.
    """

    dataset: Any  # Dataset, whose arrays are JAX arrays or NumPy arrays
    z: Any
    whole: SiteLogProbs
    last: SiteLogProbs
    blind: Mapping[str, SiteLogProbs]
    rounding: SiteLogProbs
    log_det: Numbers
    gradient: Numbers
    unsupported: Mapping[str, Numbers]


def _program(model: Model, draw: Draw, key: Callable[[Array], PRNGKeyArray]) -> Callable[..., _Probe]:
    """`(seed, sizes of the variable plates, pull) -> probe`, compiled once for all of them."""

    def program(*arguments: Any) -> _Probe:
        return flattened(partial(_probe, model, draw, key), *arguments)(*arguments)

    return jit(program, effort="little")


def _pulled(program: Callable[..., _Probe], pulls: Sequence[float], seed: int, sizes: Mapping[str, int]) -> _Probe:
    """The probe at the first pull whose log joint and gradient are finite, or else whose log joint is; in NumPy."""
    probes: list[_Probe] = []
    for pull in pulls:
        probes.append(jax.device_get(program(seed, dict(sizes), pull)))
        if not _where_not_finite(probes[-1]) and np.all(np.isfinite(probes[-1].gradient)):
            return probes[-1]
    return next((probed for probed in probes if not _where_not_finite(probed)), probes[0])


def _where_not_finite(probe: _Probe) -> list[str]:
    """Parts of the log joint that are not finite, in words."""
    bad = [f"site '{name}'" for name, value in probe.whole.items() if not np.all(np.isfinite(value))]
    return bad if np.isfinite(probe.log_det) else [*bad, "the bijectors"]


def _probe(
    model: Model,
    draw: Draw,
    key: Callable[[Array], PRNGKeyArray],
    seed: Array,
    sizes: Mapping[str, Array],
    pull: Array,
) -> _Probe:
    """Everything that depends on z is computed for several values at once: one graph to trace and to compile."""
    masks = model.plate_masks(sizes)
    dataset, z = draw(key(seed), masks)
    z = pull * z
    half = dataset.row_mask.shape[0] // 2
    last = Dataset({k: v[::-1][:half] for k, v in dataset.values.items()}, dataset.row_mask[:half], dict(masks))
    nudged = z * (1.0 + NUDGE * np.random.default_rng(0).normal(size=(2, *z.shape)).astype(np.float32))
    names = [argument.name for argument in model.data]
    points = jnp.concatenate([z[None], nudged, jnp.broadcast_to(z, (len(names), *z.shape))])
    hidden = jnp.arange(len(points))[:, None] == 3 + jnp.arange(len(names))

    def joint(z: Array, hidden: Array) -> tuple[Array, tuple[Array, SiteLogProbs]]:
        log_det, by_site = _by_site(_hiding(model, dict(zip(names, hidden, strict=True))), z, dataset)
        return sum((jnp.sum(value) for value in by_site.values()), log_det), (log_det, by_site)

    graph = jax.value_and_grad(flattened(joint, points[0], hidden[0]), has_aux=True)
    (_, (log_dets, by_site)), gradients = jax.vmap(graph)(points, hidden)
    _, by_last = _by_site(model, z, last)
    return _Probe(
        dataset=dataset,
        z=z,
        whole={name: value[0] for name, value in by_site.items()},
        last={name: value[::-1] if value.ndim else value for name, value in by_last.items()},
        blind={name: {site: value[3 + i] for site, value in by_site.items()} for i, name in enumerate(names)},
        rounding={name: jnp.max(jnp.abs(value[1:3] - value[0]), axis=0) for name, value in by_site.items()},
        log_det=log_dets[0],
        gradient=gradients[0],
        unsupported=model.unsupported_rows(dataset),
    )


def _by_site(model: Model, z: Array, dataset: Dataset) -> tuple[Array, SiteLogProbs]:
    """Log-det of `constrain`; log prior of each latent site and row log likelihoods of each data site."""
    log_det, sites = model.site_log_probs(z, dataset)
    by_site = {site.name: jnp.sum(sites[site.name]) for site in model.space.sites}
    num_rows = dataset.row_mask.shape[0]
    by_site |= {s.name: jnp.sum(jnp.reshape(sites[s.name], (num_rows, -1)), axis=1) for s in model.data_sites}
    return log_det, by_site


def _hiding(model: Model, hidden: Mapping[str, Array]) -> Model:
    """The model, seeing some data arguments through `obs=` only, with zeros in their place elsewhere.

    Args:
        model: The model.
        hidden: Data argument -> True where it is hidden.
    """

    def blind(**values: Array) -> None:
        seen = {name: jnp.where(hidden[name], jnp.zeros_like(values[name]), values[name]) for name in hidden}
        with _Observe({site.name: values[site.argument] for site in model.data_sites}):
            model.function(**{**values, **seen})

    blind.__name__ = model.name  # messages speak of the user's own
    return dataclasses.replace(model, function=blind, key=(model.key, "hiding"))


class _Observe(Messenger):
    """Gives observed sites their values."""

    def __init__(self, values: Mapping[str, Array]):
        super().__init__()
        self.values = values

    def process_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Replaces what the model handed to `obs=`."""
        if msg["type"] == "sample" and msg["name"] in self.values:
            msg["value"] = self.values[msg["name"]]


def _judge(model: Model, probe: _Probe) -> None:
    """Compares the densities of one probe, which holds NumPy arrays now."""
    where = f"model '{model.name}'"
    if bad := _where_not_finite(probe):
        raise InputError(
            f"{where}: the log joint is not finite at a draw from its own prior; look at {', '.join(bad)} (rates that "
            "overflow, scales that reach 0 or below?)"
        )
    if not np.all(np.isfinite(probe.gradient)):
        raise InputError(f"{where}: the gradient of its log joint is not finite at a draw from its own prior")
    for argument, blind in probe.blind.items():
        for name in _differing(probe.whole, blind, probe.rounding):
            raise RowsError(
                f"{where}: argument '{argument}' is data, but site '{name}' also uses its values besides obs=, which "
                "cannot be simulated; use what numpyro.sample(..., obs=...) returns, or pass such numbers as covariates"
            )
    half = probe.dataset.row_mask.shape[0] // 2
    for name in _differing(_tail(probe.whole, half), probe.last, _tail(probe.rounding, half)):
        if name in {site.name for site in model.space.sites}:
            raise RowsError(
                f"{where}: the prior of latent site '{name}' depends on the rows (their values or their number). "
                "Quantities such as x.std(0) must be fixed before the model is called, with functools.partial"
            )
        raise RowsError(
            f"{where}: at site '{name}' a row's likelihood depends on the other rows or on its place among them, so "
            "rows are not exchangeable. Quantities such as x.mean(0) must be computed before the model is called"
        )


def _tail(log_probs: SiteLogProbs, half: int) -> SiteLogProbs:
    """Data sites cut to their last rows."""
    return {name: value[-half:] if value.ndim else value for name, value in log_probs.items()}


def _differing(expected: SiteLogProbs, got: SiteLogProbs, rounding: SiteLogProbs) -> list[str]:
    """Sites whose log probabilities differ by more than rounding explains."""
    return [
        name
        for name, value in expected.items()
        if not np.all(np.abs(got[name] - value) <= TOLERANCE * (1.0 + np.abs(value)) + NUDGES * rounding[name])
    ]


def _check_plate(model: Model, probe: Callable[..., _Probe], plate: str, size: int) -> None:
    """Masking a plate must give the densities of a model that never had the masked entries."""
    where = f"model '{model.name}': plate '{plate}' cannot vary"
    sizes = {**model.capacity, plate: size}
    reduced = jit(lambda dataset, z: _reduced(model, plate, size, dataset, z), effort="little")
    for seed in range(NUM_PROBES):
        masked = probe(seed, sizes)
        try:
            alone = jax.device_get(reduced(masked.dataset, masked.z))
        except Exception as error:
            raise InputError(
                f"{where}: with {size} entries the model fails: {type(error).__name__}: {error}"
            ) from error
        _judge(model, masked)
        total = {name: np.asarray(np.sum(value)) for name, value in masked.whole.items()}
        # Differences may grow with the sum of the rows' sizes, which NUDGES must not multiply again.
        rounding = {
            name: np.asarray(np.sum(masked.rounding[name]) + TOLERANCE / NUDGES * np.sum(np.abs(value)))
            for name, value in masked.whole.items()
        }
        for name in _differing(total, alone, rounding):
            raise InputError(
                f"{where}: with {size} of its {model.capacity[plate]} entries kept, site '{name}' has log "
                f"probability {total[name]:.4g} when the others are masked, {alone[name]:.4g} when they never existed. "
                f"It must lie inside numpyro.plate('{plate}', ...) if it has one entry for each, and nothing may "
                "depend on how many there are"
            )


def _reduced(model: Model, plate: str, size: int, dataset: Dataset, z: Array) -> SiteLogProbs:
    """Log probability of each site of the model run on the first `size` entries of a plate alone."""
    axes = {s.name: s.plates.index(plate) for s in model.space.sites if plate in s.plates}
    latents = {
        name: jax.lax.slice_in_dim(value, 0, size, axis=axes[name]) if name in axes else value
        for name, value in model.space.constrain(z).items()
    }
    group = next((group for group in model.groups if group.plate == plate), None)
    if group is None:
        program, values = model.function, cut(dataset.values, model.plate_axes[plate].axes, size)
    else:
        assert isinstance(model.function, SizedProgram)
        program = model.function.resized({group.argument: size})
        values = cut(dataset.values, group.axes.axes, size)
    with NUMPYRO:
        log_probs, _ = compute_log_probs(handlers.seed(program, random.key(0)), (), values, latents)
    return log_probs
