"""Laws that every posterior family keeps, whatever its weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random, vmap
from jax.lax import stop_gradient
from numpy.testing import assert_allclose, assert_array_equal
from posteriors.cases import (
    BUILDS,
    CONTEXT,
    CONTEXT_SIZE,
    LATENT_SIZE,
    MASKS,
    PRIOR_LOC,
    PRIOR_SCALE,
    draws,
    log_prob,
    log_probs,
    on_grid,
    start,
    trained,
)
from scipy import stats

CASES = pytest.mark.parametrize("case", BUILDS)
ALL_MASKS = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
NUM_POINTS = 40_000  # of every grid, so that each case compiles once


@CASES
@pytest.mark.parametrize("name", ["single", "pair"])
def test_density_integrates_to_one(case, name):
    zs, cell = on_grid(active=int(MASKS[name].sum()), mask=MASKS[name], num_points=NUM_POINTS)
    mass = np.exp(log_probs(trained(case), MASKS[name], zs)).sum() * cell
    assert_allclose(mass, 1.0, atol=2e-3)


@CASES
def test_density_of_a_lone_latent_integrates_to_one(case):
    zs, cell = on_grid(active=1, mask=np.array([True]), num_points=NUM_POINTS)
    mass = np.exp(log_probs(trained(case, size=1), np.array([True]), zs)).sum() * cell
    assert_allclose(mass, 1.0, atol=2e-3)


@CASES
def test_draws_follow_the_density(case):
    """Kolmogorov-Smirnov against the integrated density; 1 false alarm in 10^5, were the key not fixed."""
    mask = MASKS["single"]
    zs, cell = on_grid(active=1, mask=mask, num_points=NUM_POINTS)
    cdf = np.cumsum(np.exp(log_probs(trained(case), mask, zs))) * cell
    z, _ = draws(trained(case), mask, random.key(2), num_samples=4096)
    test = stats.kstest(np.asarray(z[:, 2]), lambda x: np.interp(x, zs[:, 2], cdf))
    assert test.pvalue > 1e-5


@CASES
@ALL_MASKS
def test_log_prob_of_draws_agrees_with_the_forward_pass(case, mask):
    z, log_q = draws(trained(case), mask, random.key(3))
    # Out and back through three splines in float32; a forgotten log-det would be off by more than 0.1.
    assert_allclose(log_probs(trained(case), mask, z), log_q, atol=5e-3)


@CASES
@ALL_MASKS
def test_inactive_entries_of_draws_are_zero(case, mask):
    z, log_q = draws(trained(case), mask, random.key(4))
    assert_array_equal(z[:, ~mask], 0.0)
    assert (np.ptp(z[:, mask], axis=0) > 0.1).all()
    assert np.isfinite(log_q).all()


@CASES
@ALL_MASKS
@pytest.mark.parametrize("rubbish", [np.nan, np.inf, 1e6])
def test_inactive_entries_do_not_matter(case, mask, rubbish):
    """Neither to the value nor to any gradient, and their own gradient is 0."""
    z = np.array([0.3, -0.8, 0.5, 1.1], np.float32)
    clean, clean_grads = value_and_grads(trained(case), mask, z)
    value, grads = value_and_grads(trained(case), mask, np.where(mask, z, rubbish).astype(np.float32))
    assert_array_equal(value, clean)
    jax.tree.map(assert_array_equal, grads, clean_grads)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean_grads))
    assert_array_equal(grads[1][~mask], 0.0)
    assert (grads[1][mask] != 0.0).all()


@CASES
def test_nothing_active_has_log_prob_zero(case):
    mask = MASKS["none"]
    z, log_q = draws(trained(case), mask, random.key(5))
    assert_array_equal(log_q, 0.0)
    assert log_prob(trained(case), mask, jnp.ones(LATENT_SIZE)) == 0.0


@CASES
@ALL_MASKS
def test_starts_at_the_standard_normal(case, mask):
    """In the prior's units where the family is standardised."""
    loc, scale = (PRIOR_LOC, PRIOR_SCALE) if "standardized" in case else (0.0, 1.0)
    zs = np.asarray(2.0 * random.normal(random.key(6), (256, LATENT_SIZE)))
    expected = np.where(mask, stats.norm.logpdf(zs, loc, scale), 0.0).sum(axis=1)
    assert_allclose(log_probs(start(case), mask, zs), expected, rtol=1e-5, atol=1e-4)


@CASES
@pytest.mark.parametrize("route", ["log_prob", "draws"])
def test_every_weight_gets_a_gradient(case, route):
    """Every entry of every last layer's bias, and some entry of every other weight of every layer."""

    def loss(family):
        q = family(CONTEXT, jnp.asarray(MASKS["all"]))
        if route == "log_prob":
            return -jnp.mean(vmap(q.log_prob)(3.0 * random.normal(random.key(7), (256, LATENT_SIZE))))
        z, log_q = q.sample_and_log_prob(random.key(8), 256)
        return jnp.mean(log_q + 0.5 * jnp.sum(z**4, axis=-1))

    grads = jax.jit(jax.grad(loss))(trained(case))
    if "standardized" in case:
        assert_array_equal(grads.loc, 0.0)
        assert_array_equal(grads.scale, 0.0)
        grads = grads.family
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), name
        per_layer = grad if "coupling" in name else grad[None]
        everywhere = "head" in name and "bias" in name
        touched = np.all if everywhere else np.any
        assert all(touched(layer != 0.0) for layer in np.asarray(per_layer)), name


@CASES
def test_jit_changes_nothing(case):
    q = trained(case)(CONTEXT, jnp.asarray(MASKS["gap"]))
    z, log_q = q.sample_and_log_prob(random.key(9), 3)
    jit_z, jit_log_q = draws(trained(case), MASKS["gap"], random.key(9), num_samples=3)
    assert_allclose(jit_z, z, rtol=1e-5, atol=1e-5)
    assert_allclose(jit_log_q, log_q, rtol=1e-4, atol=1e-4)
    assert_allclose(log_prob(trained(case), MASKS["gap"], z[0]), q.log_prob(z[0]), rtol=1e-4, atol=1e-4)


@CASES
def test_batch_equals_singles(case):
    family = trained(case)
    contexts = random.normal(random.key(10), (5, CONTEXT_SIZE))
    zs = random.normal(random.key(11), (5, LATENT_SIZE))
    masks = np.stack(list(MASKS.values()))
    batch = eqx.filter_jit(eqx.filter_vmap(log_prob, in_axes=(None, 0, 0, 0)))(family, masks, zs, contexts)
    singles = [log_prob(family, masks[i], zs[i], contexts[i]) for i in range(5)]
    assert_allclose(batch, np.stack(singles), rtol=1e-5, atol=1e-5)


@CASES
def test_sticking_the_landing_has_no_gradient_at_the_target(case):
    """With its parameters held fixed, log q - log p is flat along the draws where p = q, not only on average."""
    family, mask = trained(case), jnp.asarray(MASKS["gap"])

    def gradient_norm(hold):
        def gap(moving):
            q, p = moving(CONTEXT, mask), family(CONTEXT, mask)
            z = q.sample(random.key(12), 4)
            return jnp.mean(vmap(hold(q).log_prob)(z) - vmap(p.log_prob)(z))

        grads = jax.jit(jax.grad(gap))(family)
        return max(np.abs(leaf).max() for leaf in jax.tree.leaves(grads))

    assert gradient_norm(lambda q: jax.tree.map(stop_gradient, q)) == 0.0
    assert gradient_norm(lambda q: q) > 0.1


@CASES
@pytest.mark.parametrize("size", [1e3, 1e6])
@pytest.mark.parametrize("noise", [1.0, 30.0])
def test_far_points_have_finite_values_and_gradients(case, size, noise):
    """In float32, also after weights have run away."""
    family = jax.tree.map(lambda w: noise * w, trained(case))
    if "standardized" in case:
        family = eqx.tree_at(lambda f: (f.loc, f.scale), family, (PRIOR_LOC, PRIOR_SCALE))
    z = size * np.array([1.0, -1.0, 1.0, -1.0], np.float32)
    value, grads = value_and_grads(family, MASKS["all"], z)
    assert value.dtype == np.float32
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("case", ["diagonal", "full", "standardized_full"])
def test_gaussians_need_no_promotion(case, strict_numerics):
    q = trained(case)(CONTEXT, jnp.asarray(MASKS["gap"]))
    z, _ = q.sample_and_log_prob(random.key(13), 2)
    assert np.isfinite(q.log_prob(z[0]))


@eqx.filter_jit
def value_and_grads(family, mask, z):
    """Log density of one `z`, and its gradients by the weights and by `z`."""
    return jax.value_and_grad(lambda f, z: f(CONTEXT, mask).log_prob(z), argnums=(0, 1))(family, z)
