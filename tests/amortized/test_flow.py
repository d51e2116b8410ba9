"""The conditional flow: its bijection, its order of latents, and what it contains."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from amortized.family_cases import BUILDS, CONTEXT, LATENT_SIZE, MASKS, NUM_ROWS, log_probs, start, trained, with_noise
from jax import random
from numpy.testing import assert_allclose, assert_array_equal

from posterity.amortized.families import FlowFamily
from posterity.amortized.families.coupling import Conditioner, layer_orders
from posterity.runtime.errors import InputError

FLOWS = pytest.mark.parametrize("case", ["flow_spline", "flow_affine"])
ALL_MASKS = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


@eqx.filter_jit
def forward(family, mask, noise):
    """Image, log-det and Jacobian of one noise vector."""
    q = family(CONTEXT, mask)
    jacobian, (z, log_det) = jax.jacfwd(lambda e: _twice(*q.transform_and_log_det(e)), has_aux=True)(noise)
    return z, log_det, jacobian


def _twice(z, log_det):
    return z, (z, log_det)


@FLOWS
@ALL_MASKS
def test_log_det_is_that_of_the_jacobian(case, mask):
    for key in random.split(random.key(0), 8):
        noise = jnp.where(mask, 2.0 * random.normal(key, (LATENT_SIZE,)), 0.0)
        _, log_det, jacobian = forward(trained(case), mask, noise)
        expected = np.linalg.slogdet(np.asarray(jacobian)[np.ix_(mask, mask)])[1] if mask.any() else 0.0
        assert_allclose(log_det, expected, rtol=1e-4, atol=1e-4)


@FLOWS
def test_every_latent_depends_on_every_noise(case):
    """The coupling mixes: with a diagonal affine map, too, no entry of the Jacobian is 0."""
    _, _, jacobian = forward(trained(case), MASKS["all"], jnp.asarray([0.5, -0.4, 0.3, 0.8]))
    assert (np.abs(jacobian) > 1e-6).sum() >= 14  # a full affine map alone has 10, a diagonal one 4


@pytest.mark.parametrize("active", range(LATENT_SIZE))
def test_a_latent_without_company_is_still_bent(active):
    """Wherever it stands, a lone latent gets more than an affine map."""
    mask = np.arange(LATENT_SIZE) == active
    images = [forward(trained("flow_spline"), mask, jnp.where(mask, e, 0.0))[0][active] for e in (-1.5, 0.0, 1.5)]
    assert abs(images[2] - 2.0 * images[1] + images[0]) > 0.05


def test_conditioner_does_not_extrapolate():
    """Beyond 10 a kept latent counts as 10: far points cannot drive the maps of the others anywhere new."""
    conditioner = with_noise(Conditioner(2, 3, 5, width=8, key=random.key(3)), np.random.default_rng(3))
    inside, bound, far = (conditioner(jnp.asarray([x, -x]), CONTEXT) for x in (9.0, 10.0, 1e6))
    assert_array_equal(far, bound)
    assert (np.abs(bound - inside) > 1e-3).all()


def test_flow_contains_the_full_gaussian():
    """Its coupling untouched and its affine map trained, the flow is that Gaussian."""
    family = eqx.tree_at(lambda f: f.linear, start("flow_spline"), trained("full"))
    zs = np.asarray(random.normal(random.key(2), (NUM_ROWS, LATENT_SIZE)))
    expected = log_probs(trained("full"), MASKS["gap"], zs)
    assert_allclose(log_probs(family, MASKS["gap"], zs), expected, rtol=1e-5, atol=1e-4)


def test_same_options_give_the_same_structure():
    """Weights of one flow fit another one that was built from the same options, as when loading."""
    first = start("flow_spline")
    shapes = eqx.filter_eval_shape(BUILDS["flow_spline"], key=random.key(1))
    assert jax.tree.structure(first) == jax.tree.structure(shapes)
    assert [w.shape for w in jax.tree.leaves(first)] == [w.shape for w in jax.tree.leaves(shapes)]


@pytest.mark.parametrize("latent_size", [2, 3, 4, 6, 7, 12, 32, 100])
def test_every_latent_is_moved_in_sight_of_every_other(latent_size):
    num_layers = 2 * (latent_size - 1).bit_length()
    num_kept = latent_size - latent_size // 2
    seen = np.eye(latent_size, dtype=bool)
    for order in layer_orders(latent_size, num_layers):
        assert_array_equal(np.sort(order), np.arange(latent_size))
        seen[np.ix_(order[num_kept:], order[:num_kept])] = True
    assert seen.all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "splin"}, r"unknown flow transform 'splin'.*Did you mean 'spline'\?"),
        ({"linear": "triangular"}, "unknown linear map 'triangular'. Known: 'diagonal', 'full'"),
        ({"num_layers": 0}, "`num_layers` must be at least 1; got 0"),
        ({"knots": 0}, "`knots` must be at least 1 and `interval` positive; got 0 and 5.0"),
        ({"interval": -1.0}, "`interval` positive; got 8 and -1.0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        FlowFamily(2, 3, key=random.key(0), **options)
