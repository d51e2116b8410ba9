"""Models that nobody prepared: the informed posterior, with a network that was never trained, is close to the truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from informed_posterior.cases import NUM_COLUMNS, USER, draw, ess_share, model_of, soil, stack
from jax import lax, random, vmap
from numpy.testing import assert_allclose, assert_array_equal

from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.store import trained_for
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.read.structure import read_structure

NUM_ROWS, NUM_PADDED, NUM_DATASETS, NUM_DRAWS = 40, 4, 4, 500
NAMED_BY_HAND = {"non_centred": ("tau",)}
NAMES = [model.__name__ for model in USER if model.__name__ != "probit"]  # `cloglog` is its harder twin
# Each takes ten seconds to compile: a robust likelihood, a prior whose scale is a latent, and a binary likelihood.
FAST = ("student", "centred", "cloglog")
CASES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


def network_of(name: str) -> InformedNetwork:
    model = model_of(name)
    return InformedNetwork(RowNetwork(8, 2, key=random.key(0)), model, read_structure(model, NAMED_BY_HAND.get(name)))


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Draws for datasets of 40 rows; then the last one with 1e6 in its padding, and one with a feature less."""
    network = network_of(request.param)
    model = network.model
    datasets = [draw(model, random.key(10 + i), NUM_ROWS)[0] for i in range(NUM_DATASETS)]
    fewer = draw(model, random.key(20), NUM_ROWS, NUM_COLUMNS - 1)[0]
    many = [soil(model, d, NUM_PADDED, 0.0) for d in datasets]
    many += [soil(model, datasets[-1], NUM_PADDED), soil(model, fewer, NUM_PADDED)]

    def look(dataset):
        mask = model.space.mask(dataset.plate_masks)
        q = network(dataset)
        z, log_q = q.sample_and_log_prob(random.key(1), NUM_DRAWS)
        log_p = vmap(lambda v: model.log_joint(v, dataset))(z)
        again = vmap(q.log_prob)(jnp.where(mask, z[:50], 1e6))
        return {"mask": mask, "z": z, "log_q": log_q, "again": again, "ess": ess_share(log_p - log_q)}

    return jax.device_get(jax.jit(lambda many: lax.map(look, many))(stack(many)))


def test_importance_ess(case):
    """Of a network that knows first-order theory only."""
    assert np.median(case["ess"][:NUM_DATASETS]) > 0.8


def test_masked_features_cost_nothing(case):
    """One dataset alone, so only that its posterior is of use."""
    assert case["ess"][-1] > 0.5


def test_padding_does_not_matter(case):
    """The padding holds 0 or 1e6, and the first row inside in either case."""
    assert_allclose(case["z"][NUM_DATASETS], case["z"][NUM_DATASETS - 1], rtol=1e-4, atol=1e-4)
    assert_allclose(case["log_q"][NUM_DATASETS], case["log_q"][NUM_DATASETS - 1], rtol=1e-4, atol=1e-3)


def test_log_prob_of_draws_agrees_with_the_forward_pass(case):
    """Whatever stands in masked entries. Draws far out may lose digits in the inverse: 1 in 100."""
    assert np.isfinite(case["log_q"]).all()
    assert_allclose(case["again"], case["log_q"][:, :50], rtol=1e-4, atol=1e-2)


def test_masked_entries_of_draws_are_zero(case):
    for z, mask in zip(case["z"], case["mask"], strict=True):
        assert_array_equal(z[:, ~mask], 0.0)
        assert (z[:, mask].std(axis=0) > 1e-3).all()


def test_what_lies_outside_is_told():
    network = network_of("probit")
    most = trained_for()["rows"]
    assert network.outside(most, {"features": 2}) == ()
    (told,) = network.outside(most + 1, {"features": 2})
    assert told == f"{most + 1} rows are more than the {most} that the informed posterior was trained for"


def test_nothing_lies_outside_where_the_rest_is_gaussian():
    network = network_of("centred")
    assert network.outside(10**6, {}) == ()
