"""Every example model builds, simulates, and has the densities that NumPyro itself gives it."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from model.example_models import EXAMPLES, NUM_ROWS
from model.pieces import garbage
from numpy.testing import assert_allclose, assert_array_equal
from numpyro.distributions import constraints
from numpyro.infer.util import potential_energy, unconstrain_fn

from posterity.model.dataset import Dataset
from posterity.model.intake import pad_dataset
from posterity.model.model import Model
from posterity.model.soundness import check_model
from posterity.simulation.simulator import build_simulator

PADDED_ROWS = 12

# What must be known of each example: latents -> size of their part of z.
LATENTS = {
    "coin": {"fairness": 1},
    "batting": {"phi": 1},
    "divorce_rate": {"a": 1, "bM": 1, "bA": 1, "sigma": 1},
    "divorce_rate_by_age": {"a": 1, "bA": 1, "sigma": 1},
    "logistic": {"coefs": 3},
    "neural_network": {"w1": 8, "w2": 4, "prec_obs": 1},
    "horseshoe": {"lambdas": 3, "tau": 1, "unscaled_betas": 3, "prec_obs": 1},
    "manuscripts": {"p": 1, "rate": 1},
    "ordinal": {"b": 2, "c": 3},
    "ordinal_anchored": {"b": 2, "c_base": 2},
    "mixture": {"weights": 2, "scale": 1, "locs": 3},
    "robust": {"slope": 2, "nu": 1, "scale": 1},
    "overdispersed": {"a": 1, "b": 1, "phi": 1},
    "group_effects": {"mu": 1, "tau": 1, "offset": 3, "slope": 3, "sigma": 1},
    "gamma_regression": {"coefs": 2, "shape": 1},
    "correlated": {"theta": 3, "L_omega": 3},
    "proportion": {"coefficients": 3},
    "two_outcomes": {"rate": 1, "effect": 1},
}
KINDS = {
    "coin": {"data": "binary"},
    "batting": {"hits": "count"},
    "logistic": {"labels": "binary"},
    "manuscripts": {"y": "count"},
    "ordinal": {"Y": "class"},
    "ordinal_anchored": {"Y": "class"},
    "overdispersed": {"y": "count"},
    "proportion": {"outcome": "binary"},
    "two_outcomes": {"first": "count", "second": "real"},
}


class Case(NamedTuple):
    """A model, a point of its latent space, and every number that the tests compare."""

    model: Model
    simulated: Dataset
    drawn: np.ndarray
    z: np.ndarray
    numbers: Mapping[str, Any]


# Their likelihoods and priors occur in the others, or in the built-in models.
SLOW = ("divorce_rate", "logistic", "neural_network", "ordinal_anchored")
CASES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in EXAMPLES]


@pytest.fixture(scope="module", params=CASES)
def case(request) -> Case:
    """Builds one example, then compiles all that its tests need as a single program."""
    function, example = EXAMPLES[request.param]
    simulator = build_simulator(function, example, check=False)
    model, rows = simulator.model, jnp.ones(6, bool)
    simulated, drawn = check_model(model, lambda key, masks: simulator.simulate(key, rows, masks))
    exact = pad_dataset(model, example, NUM_ROWS)
    dirty = _dirty(pad_dataset(model, example, PADDED_ROWS))
    z = jnp.asarray(np.random.default_rng(1).normal(0.0, 0.5, model.space.size), jnp.float32)
    compute = jax.jit(functools.partial(_numbers, model))
    return Case(model, simulated, np.asarray(drawn), np.asarray(z), jax.device_get(compute(z, exact, dirty, simulated)))


def _dirty(dataset: Dataset) -> Dataset:
    """The dataset with NaN and 1e6 by turns in its padded rows; zeros would hide a forgotten mask."""
    values = {
        name: jnp.concatenate([array[:NUM_ROWS], garbage(array[NUM_ROWS:])]) for name, array in dataset.values.items()
    }
    return Dataset(values, dataset.row_mask, dataset.plate_masks)


def _permuted(dataset: Dataset, order: np.ndarray) -> Dataset:
    return Dataset({k: v[order] for k, v in dataset.values.items()}, dataset.row_mask[order], dataset.plate_masks)


def _numbers(model: Model, z: jax.Array, exact: Dataset, dirty: Dataset, simulated: Dataset) -> dict[str, Any]:
    def joint_and_parts(z: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        log_prior, rows = model.log_prior_and_likelihood(z, dirty)
        return log_prior + jnp.sum(rows), (log_prior, rows)

    order = random.permutation(random.key(5), PADDED_ROWS)
    latents, log_det = model.space.constrain_and_log_det(z, {})
    by_numpyro = unconstrain_fn(model.function, (), exact.values, latents)
    return {
        "order": order,
        "exact": jax.value_and_grad(model.log_joint)(z, exact),
        "dirty": jax.value_and_grad(joint_and_parts, has_aux=True)(z),
        "permuted": model.log_prior_and_likelihood(z, _permuted(dirty, order)),
        "numpyro": jax.value_and_grad(lambda u: -potential_energy(model.function, (), exact.values, u))(by_numpyro),
        "numpyro_z": by_numpyro,
        "latents": latents,
        "log_det": log_det,
        "jacobian": jax.jacfwd(lambda one: _free_coordinates(model, model.space.constrain(one)))(z),
        "round_trip": model.space.unconstrain(latents),
        "unsupported": model.unsupported_rows(simulated),
    }


def _free_coordinates(model: Model, latents: Mapping[str, jax.Array]) -> jax.Array:
    """As many coordinates of the latents as `z` has: a simplex without its last entry, a Cholesky factor of a
    correlation below its diagonal, everything else whole."""
    parts = []
    for site in model.space.sites:
        value = latents[site.name]
        if site.bijector.codomain is constraints.simplex:
            value = value[..., :-1]
        if site.bijector.codomain is constraints.corr_cholesky:
            value = value[np.tril_indices(value.shape[-1], -1)]
        parts.append(jnp.ravel(value))
    return jnp.concatenate(parts)


def test_latents_and_data_are_told_apart(case, request):
    name = request.node.callspec.params["case"]
    sizes = {site.name: case.model.space.site_size(site.name) for site in case.model.space.sites}
    assert sizes == LATENTS[name]
    assert case.model.space.size == sum(sizes.values())
    kinds = {a.name: a.kind for a in case.model.data}
    assert kinds == KINDS.get(name, dict.fromkeys(kinds, "real"))
    assert set(kinds) | {a.name for a in case.model.covariates} == set(EXAMPLES[name].dataset)


def test_log_joint_and_gradient_are_those_of_numpyro(case):
    value, gradient = case.numbers["exact"]
    expected, by_site = case.numbers["numpyro"]
    assert np.all(np.isfinite(gradient))
    assert_allclose(value, expected, rtol=2e-5, atol=2e-4)
    flat = np.concatenate([np.ravel(by_site[site.name]) for site in case.model.space.sites])
    assert_allclose(gradient, flat, rtol=1e-3, atol=2e-3)


def test_log_det_is_that_of_the_jacobian(case):
    _, expected = np.linalg.slogdet(case.numbers["jacobian"].astype(np.float64))
    assert_allclose(case.numbers["log_det"], expected, rtol=1e-4, atol=1e-4)


def test_constrain_and_unconstrain_are_inverse(case):
    assert_allclose(case.numbers["round_trip"], case.z, rtol=1e-4, atol=1e-4)
    by_numpyro = [np.ravel(case.numbers["numpyro_z"][site.name]) for site in case.model.space.sites]
    assert_allclose(np.concatenate(by_numpyro), case.z, rtol=1e-4, atol=1e-4)
    for site in case.model.space.sites:
        assert case.numbers["latents"][site.name].shape == site.shape
        assert np.all(site.bijector.codomain(case.numbers["latents"][site.name]))


def test_padding_changes_nothing(case):
    (value, (_, rows)), gradient = case.numbers["dirty"]
    assert_allclose(value, case.numbers["exact"][0], rtol=1e-5, atol=1e-4)
    assert_allclose(gradient, case.numbers["exact"][1], rtol=1e-4, atol=1e-3)
    assert_array_equal(rows[NUM_ROWS:], 0.0)
    assert np.all(rows[:NUM_ROWS] != 0.0)


def test_rows_may_be_permuted(case):
    (_, (log_prior, rows)), _ = case.numbers["dirty"]
    permuted_prior, permuted_rows = case.numbers["permuted"]
    assert_allclose(permuted_rows, rows[case.numbers["order"]], rtol=1e-4, atol=1e-4)
    assert_allclose(permuted_prior, log_prior, rtol=1e-5, atol=1e-5)


def test_simulates_what_it_can_explain(case):
    num_rows = case.simulated.row_mask.shape[0]
    assert np.all(np.isfinite(case.drawn))
    for argument in case.model.arguments:
        values = np.asarray(case.simulated.values[argument.name])
        assert values.shape == (num_rows, *argument.shape) and str(values.dtype) == argument.dtype
        if argument.role == "data":  # one value per row, not one for all
            assert len(np.unique(values)) == values.size if argument.kind == "real" else len(np.unique(values)) > 1
    for unsupported in case.numbers["unsupported"].values():
        assert not np.any(unsupported)
