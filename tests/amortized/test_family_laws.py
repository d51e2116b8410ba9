"""Laws that every posterior family keeps, whatever its weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from amortized.family_cases import (
    BUILDS,
    CONTEXT,
    CONTEXT_SIZE,
    LATENT_SIZE,
    MASKS,
    NUM_ROWS,
    PRIOR_LOC,
    PRIOR_SCALE,
    densities,
    draws,
    log_probs,
    on_grid,
    start,
    trained,
)
from jax import random, vmap
from jax.lax import stop_gradient
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

CASES = pytest.mark.parametrize("case", BUILDS)
ALL_MASKS = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
POINTS = np.asarray(2.0 * random.normal(random.key(2), (NUM_ROWS, LATENT_SIZE)))


@CASES
@pytest.mark.parametrize(("name", "side"), [("single", 4096), ("pair", 256)])
def test_density_integrates_to_one(case, name, side):
    zs, cell = on_grid(case, MASKS[name], side)
    mass = np.exp(log_probs(trained(case), MASKS[name], zs)).sum() * cell
    assert_allclose(mass, 1.0, atol=0.01)


@CASES
def test_density_of_the_only_latent_integrates_to_one(case):
    zs, cell = on_grid(case, np.array([True]), 4096)
    q = trained(case, size=1)(CONTEXT, jnp.asarray([True]))
    mass = np.exp(jax.jit(vmap(q.log_prob))(zs)).sum() * cell
    assert_allclose(mass, 1.0, atol=0.01)


@CASES
def test_draws_follow_the_density(case):
    """Kolmogorov-Smirnov against the integrated density; 1 false alarm in 10^5, were the key not fixed."""
    mask = MASKS["single"]
    zs, cell = on_grid(case, mask, 4096)
    cdf = np.cumsum(np.exp(log_probs(trained(case), mask, zs))) * cell
    z = draws(trained(case), mask, random.key(3)).z[:, 2]
    assert stats.kstest(np.asarray(z), lambda x: np.interp(x, zs[:, 2], cdf)).pvalue > 1e-5


@CASES
@ALL_MASKS
def test_log_prob_of_draws_agrees_with_the_forward_pass(case, mask):
    drawn = draws(trained(case), mask, random.key(4))
    # Out and back through three layers in float32; a forgotten log-det would be off by more than 0.1.
    assert_allclose(densities(trained(case), mask, drawn.z).log_prob, drawn.log_prob, atol=5e-3)


@CASES
@ALL_MASKS
def test_inactive_entries_of_draws_are_zero(case, mask):
    drawn = draws(trained(case), mask, random.key(5))
    assert_array_equal(drawn.z[:, ~mask], 0.0)
    assert (np.std(drawn.z[:, mask], axis=0) > 0.1).all()
    assert np.isfinite(drawn.log_prob).all()


@CASES
@ALL_MASKS
@pytest.mark.parametrize("rubbish", [np.nan, np.inf, 1e6])
def test_inactive_entries_do_not_matter(case, mask, rubbish):
    """Neither to the value nor to any gradient, and their own gradient is 0."""
    clean = densities(trained(case), mask, POINTS)
    soiled = densities(trained(case), mask, np.where(mask, POINTS, rubbish).astype(np.float32))
    jax.tree.map(assert_array_equal, soiled, clean)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))
    assert_array_equal(soiled.by_z[:, ~mask], 0.0)
    assert (soiled.by_z[:, mask] != 0.0).all()


@CASES
def test_nothing_active_has_log_prob_zero(case):
    assert_array_equal(draws(trained(case), MASKS["none"], random.key(6)).log_prob, 0.0)
    assert_array_equal(densities(trained(case), MASKS["none"], POINTS).log_prob, 0.0)


@CASES
@ALL_MASKS
def test_starts_at_the_standard_normal(case, mask):
    """In the prior's units where the family is standardised."""
    loc, scale = (PRIOR_LOC, PRIOR_SCALE) if case == "standardized" else (0.0, 1.0)
    expected = np.where(mask, stats.norm.logpdf(POINTS, loc, scale), 0.0).sum(axis=1)
    assert_allclose(densities(start(case), mask, POINTS).log_prob, expected, rtol=1e-5, atol=1e-4)


@CASES
@pytest.mark.parametrize("route", [densities, draws], ids=["log_prob", "draws"])
def test_every_weight_gets_a_gradient(case, route):
    """Nearly every entry of the last layers' biases, and some of every other weight in every layer.

    Draws reach the outermost knots of a spline once in thousands, so some entries may wait for their turn.
    """
    rows = POINTS if route is densities else random.key(7)
    grads = route(trained(case), MASKS["all"], rows).by_weights
    if case == "standardized":
        assert_array_equal(grads.loc, 0.0)
        assert_array_equal(grads.scale, 0.0)
        grads = grads.family
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), name
        per_layer = np.asarray(grad if "coupling" in name else grad[None])
        least = 0.8 if "head.bias" in name else 1e-6
        assert all(np.mean(layer != 0.0) >= least for layer in per_layer), name


@pytest.mark.parametrize("case", ["diagonal", "full", "flow_affine", "standardized"])
def test_jit_changes_nothing(case):
    """The spline flow differs from the affine one only in its scalar map, and takes long outside jit."""
    q = trained(case)(CONTEXT, jnp.asarray(MASKS["gap"]))
    z, log_q = q.sample_and_log_prob(random.key(8), NUM_ROWS)
    compiled = draws(trained(case), MASKS["gap"], random.key(8))
    assert_allclose(compiled.z, z, rtol=1e-4, atol=1e-5)
    assert_allclose(compiled.log_prob, log_q, rtol=1e-4, atol=1e-4)
    expected = densities(trained(case), MASKS["gap"], z).log_prob[0]
    assert_allclose(q.log_prob(z[0]), expected, rtol=1e-4, atol=1e-4)


@CASES
def test_batch_equals_singles(case):
    """A batch of datasets, each with its own embedding and mask."""
    family = trained(case)
    contexts = random.normal(random.key(9), (len(MASKS), CONTEXT_SIZE))
    masks = jnp.asarray(list(MASKS.values()))
    batch = jax.jit(vmap(lambda context, mask, z: family(context, mask).log_prob(z)))
    singles = [densities(family, masks[i], POINTS, contexts[i]).log_prob[i] for i in range(len(MASKS))]
    assert_allclose(batch(contexts, masks, POINTS[: len(MASKS)]), singles, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", ["diagonal", "full", "flow_spline", "standardized"])
def test_sticking_the_landing_has_no_gradient_at_the_target(case):
    """With q's parameters held fixed, log q - log p is flat along every draw where p = q."""
    mask = jnp.asarray(MASKS["gap"])

    @jax.jit
    def gradients(family, target):
        def gap(family):
            q, p = family(CONTEXT, mask), target(CONTEXT, mask)
            z = q.sample(random.key(10), 1)[0]
            pair = jax.tree.map(lambda a, b: jnp.stack([a, b]), jax.tree.map(stop_gradient, q), p)
            log_q, log_p = vmap(lambda one: one.log_prob(z))(pair)  # together, to compile once
            return log_q - log_p

        return jax.grad(gap)(family)

    at_target = jax.tree.leaves(gradients(trained(case), trained(case)))
    elsewhere = jax.tree.leaves(gradients(trained(case), start(case)))
    assert all(np.abs(leaf).max() < 1e-3 for leaf in at_target)
    assert max(np.abs(leaf).max() for leaf in elsewhere) > 0.1
    assert all(np.isfinite(leaf).all() for leaf in elsewhere)


@CASES
@pytest.mark.parametrize("size", [1e3, 1e6])
@pytest.mark.parametrize("growth", [1.0, 30.0])
def test_far_points_have_finite_values_and_gradients(case, size, growth):
    """In float32, also after weights have run away."""
    family = jax.tree.map(lambda w: growth * w, trained(case))
    if case == "standardized":
        family = eqx.tree_at(lambda f: (f.loc, f.scale), family, (PRIOR_LOC, PRIOR_SCALE))
    found = densities(family, MASKS["all"], size * np.sign(POINTS))
    assert found.log_prob.dtype == np.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("case", ["diagonal", "full", "standardized"])
def test_gaussians_need_no_promotion(case, strict_numerics):
    q = trained(case)(CONTEXT, jnp.asarray(MASKS["gap"]))
    z, _ = q.sample_and_log_prob(random.key(11), 2)
    assert np.isfinite(q.log_prob(z[0]))
