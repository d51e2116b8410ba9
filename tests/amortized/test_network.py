"""Laws of every encoder with every posterior family, as one network on padded datasets.

A dataset of linear regression: 5 rows and 2 of up to 3 features, so rows and latents are both masked.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random, vmap
from numpy.testing import assert_allclose

from posterity import MODELS, Architecture
from posterity.amortized.encoders import ENCODERS
from posterity.amortized.families import FAMILIES
from posterity.amortized.network import build_network, network_skeleton
from posterity.amortized.objectives import ForwardKL, ReverseKL
from posterity.model.dataset import Dataset, stack_datasets
from posterity.model.intake import pad_dataset
from posterity.simulation.builtin import builtin_simulator

SMALL_ENCODERS = {name: {"width": 8, "depth": 1, "embedding_size": 8} for name in ENCODERS}
SMALL_ENCODERS["transformer"]["depth"] = 2  # its last block stands apart: with one block the stack would be empty
SMALL_FAMILY = {"flow": {"width": 8, "num_layers": 2}}
GARBAGE = 1e6  # zeros would hide a forgotten mask
# They meet in the context alone, so each need not be seen with each.
COMBINATIONS = [*((encoder, "full") for encoder in ENCODERS), *(("deep_sets", f) for f in FAMILIES if f != "full")]
# A Gaussian more says little of the network; the family laws have them all.
CASES = [pytest.param(c, marks=pytest.mark.slow) if c[1] not in ("full", "flow") else c for c in COMBINATIONS]


@pytest.fixture(scope="module")
def simulator():
    return builtin_simulator(MODELS["linear_regression"], (2, 8), (1, 3), check=False)


@pytest.fixture(scope="module")
def model(simulator):
    return simulator.model


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 2))
    return {"x": x, "y": x[:, 0] + rng.normal(size=5)}


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def network(request, simulator):
    encoder, family = request.param
    architecture = Architecture(
        encoder, family, SMALL_ENCODERS[encoder], SMALL_FAMILY.get(family, {}), {"width": 16, "depth": 1}
    )
    made = build_network(simulator, architecture, rng_key=random.key(0))
    return perturbed(made)


def perturbed(network):
    """Nothing at its special initial value: q must not be the prior, nor any weight zero."""
    leaves, treedef = jax.tree.flatten(eqx.filter(network, eqx.is_inexact_array))
    keys = random.split(random.key(1), len(leaves))
    noisy = [leaf + 0.1 * random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    moved = eqx.combine(jax.tree.unflatten(treedef, noisy), network)
    constants = lambda n: (n.features, n.family.loc, n.family.scale)  # noqa: E731 - a selector, as Equinox wants it
    return eqx.tree_at(constants, moved, constants(network))


@eqx.filter_jit
def log_probs(network, model, dataset, z):
    return vmap(network(dataset, model.space.mask(dataset.plate_masks)).log_prob)(z)


def points(model, num=3):
    return random.normal(random.key(2), (num, model.space.size))


def spoiled(dataset, axis_of_rows):
    """The dataset with garbage wherever a mask is False."""
    values = {}
    for name, array in dataset.values.items():
        mask = jnp.reshape(dataset.row_mask, (-1,) + (1,) * (array.ndim - 1))
        if name == axis_of_rows:
            mask = mask & dataset.plate_masks["features"]
        values[name] = jnp.where(mask, array, GARBAGE)
    return Dataset(values, dataset.row_mask, dataset.plate_masks)


def test_padding_and_absent_features_change_nothing(network, model, arrays):
    small, large = pad_dataset(model, arrays, 5), pad_dataset(model, arrays, 8)
    z = points(model)
    expected = log_probs(network, model, small, z)
    assert_allclose(log_probs(network, model, spoiled(large, "x"), z), expected, rtol=2e-4, atol=1e-4)


def test_absent_latents_are_no_part_of_q(network, model, arrays):
    dataset, z = pad_dataset(model, arrays, 8), points(model)
    absent = ~model.space.mask(dataset.plate_masks)
    assert absent.sum() == 1
    moved = jnp.where(absent, jnp.nan, z)
    assert_allclose(log_probs(network, model, dataset, moved), log_probs(network, model, dataset, z), rtol=1e-6)


def test_rows_may_come_in_any_order(network, model, arrays, request):
    z = points(model)
    dataset = pad_dataset(model, arrays, 8)
    turned = pad_dataset(model, {name: array[::-1] for name, array in arrays.items()}, 8)
    same = np.allclose(
        log_probs(network, model, turned, z), log_probs(network, model, dataset, z), rtol=2e-4, atol=1e-4
    )
    assert same == ("gru" not in request.node.callspec.id)  # the GRU reads rows in order: the law must see that


def test_batch_equals_its_singles(network, model, arrays):
    other = {"x": arrays["x"][:3, :1], "y": arrays["y"][:3]}
    datasets = [pad_dataset(model, d, 8) for d in (arrays, other)]
    z = points(model)
    batched = eqx.filter_vmap(log_probs, in_axes=(None, None, 0, None))(network, model, stack_datasets(datasets), z)
    for row, dataset in zip(batched, datasets, strict=True):
        assert_allclose(row, log_probs(network, model, dataset, z), rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("objective", [ForwardKL, ReverseKL])  # of the symmetric one it is their mean
def test_every_weight_gets_a_gradient(network, model, arrays, objective):
    datasets = stack_datasets(
        [pad_dataset(model, {"x": arrays["x"][:, :k], "y": arrays["y"]}, 8) for k in (1, 2)]
        + [pad_dataset(model, {"x": np.ones((5, 3)), "y": arrays["y"]}, 8)]
    )
    params, static = eqx.partition(network, eqx.is_inexact_array)

    @jax.jit
    @jax.grad
    def gradient(params):
        def one(dataset, z, key):
            q = eqx.combine(params, static)(dataset, model.space.mask(dataset.plate_masks))
            return objective().loss(model, q, dataset, z, progress=jnp.ones(()), rng_key=key)

        return jnp.mean(vmap(one)(datasets, points(model), random.split(random.key(4), 3)))

    constants = {".features.locs", ".features.scales", ".family.loc", ".family.scale"}
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(params)):
        name = jax.tree_util.keystr(path)
        assert np.all(np.isfinite(leaf)), name
        if any(name.startswith(constant) for constant in constants):
            assert not np.any(leaf), f"{name} is a constant"
        else:
            assert np.any(leaf != 0), f"no gradient reaches {name}"


def test_skeleton_has_the_structure_of_the_network(network, simulator, request):
    encoder, family = request.node.callspec.params["network"]
    architecture = Architecture(
        encoder, family, SMALL_ENCODERS[encoder], SMALL_FAMILY.get(family, {}), {"width": 16, "depth": 1}
    )
    skeleton = network_skeleton(simulator, architecture)
    shapes = [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array))]
    struct = jax.tree.leaves(skeleton, is_leaf=lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    assert [(s.shape, str(s.dtype)) for s in struct if isinstance(s, jax.ShapeDtypeStruct)] == shapes
