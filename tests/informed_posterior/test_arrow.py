"""Arrows: the same algebra as dense matrices, found where it is there, and the same posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random, vmap
from numpy.testing import assert_allclose, assert_array_equal

from posterity.informed_posterior.algebra import dense
from posterity.informed_posterior.algebra.arrow import ArrowDesign, ArrowFactor, ArrowSpread
from posterity.informed_posterior.algebra.rows import arranged, tied
from posterity.informed_posterior.bend.store import shipped_network
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.read import arrows
from posterity.informed_posterior.read.arrows import find_arrow
from posterity.informed_posterior.read.group_sums import find_sums, summed
from posterity.informed_posterior.read.order import order_of
from posterity.informed_posterior.read.structure import conditional_terms, read_structure
from posterity.model.intake import pad_dataset, read_arrays
from posterity.model.read import read_model
from posterity.runtime.precision import precision

NUM_BORDER, NUM_TERMS, NUM_SAMPLES = 3, 40, 5

# ------------------------------------------------------------------ algebra


def by_group(vector, num_own: int) -> np.ndarray:
    """A vector with the latents of each group together, as the dense matrices here have it."""
    end = len(vector) - NUM_BORDER
    return np.concatenate([np.reshape(vector[:end], (num_own, -1)).T.ravel(), vector[end:]])


def by_latent(vector, num_own: int) -> np.ndarray:
    """The inverse."""
    end = len(vector) - NUM_BORDER
    own = np.swapaxes(np.reshape(vector[:end], (-1, num_own, *vector.shape[1:])), 0, 1)
    return jnp.asarray(np.concatenate([np.reshape(own, (end, *vector.shape[1:])), vector[end:]]))


def whole(arrow, num_own: int) -> np.ndarray:
    """The dense matrix of an arrow."""
    blocks, sides, corner = (np.asarray(part) for part in (arrow.blocks, arrow.sides, arrow.corner))
    blocks, sides = np.moveaxis(blocks, 2, 0), np.moveaxis(sides, 2, 0)
    end = len(blocks) * num_own
    found = np.zeros((end + len(corner),) * 2, np.float32)
    for k, (block, side) in enumerate(zip(blocks, sides, strict=True)):
        own = slice(k * num_own, (k + 1) * num_own)
        found[own, own] = block
        if not isinstance(arrow, ArrowFactor):
            found[own, end:] = side
        if not isinstance(arrow, ArrowSpread):
            found[end:, own] = side.T
    found[end:, end:] = corner
    return found


@pytest.fixture(params=[(1, "few"), (2, "few"), (3, "few"), (2, "many"), (7, "many")], ids=str)
def designs(request):
    """An arrow's design and the same as a dense one: groups of about one size, or one that holds most rows."""
    num_own, sizes = request.param
    num_groups = 7
    rng = np.random.default_rng(0)
    group = rng.integers(0, num_groups, NUM_TERMS)
    if sizes == "many":
        group = np.where(rng.uniform(size=NUM_TERMS) < 0.7, 3, group)
    group[rng.uniform(size=NUM_TERMS) < 0.1] = -1  # terms that count nothing
    own = rng.normal(size=(NUM_TERMS, num_own)).astype(np.float32)
    border = rng.normal(size=(NUM_TERMS, NUM_BORDER)).astype(np.float32)
    rows = arranged(group, num_groups, NUM_TERMS)
    assert (rows.group is None) == (sizes == "few")
    full = np.zeros((NUM_TERMS, num_groups * num_own + NUM_BORDER), np.float32)
    for i in np.flatnonzero(group >= 0):
        full[i, group[i] * num_own : (group[i] + 1) * num_own] = own[i]
        full[i, num_groups * num_own :] = border[i]
    rows = jax.tree.map(jnp.asarray, rows)
    return (
        rows.design(rows.coefficients(jnp.asarray(own)), rows.coefficients(jnp.asarray(border))),
        jnp.asarray(full),
        num_own,
    )


def near(arrow, array) -> None:
    assert_allclose(arrow, array, rtol=3e-4, atol=3e-4)


def test_algebra_is_that_of_dense_matrices(designs):
    arrow, array, num_own = designs
    rng = np.random.default_rng(1)
    z, along = (jnp.asarray(rng.normal(size=shape).astype(np.float32)) for shape in (array.shape[1], NUM_TERMS))
    many, weights = (jnp.asarray(rng.uniform(-0.1, 1.0, (NUM_TERMS, NUM_SAMPLES)), np.float32) for _ in range(2))
    assert isinstance(arrow, ArrowDesign)

    def same(arrow, array) -> None:
        near(by_group(np.asarray(arrow), num_own), array)

    z_arrow = by_latent(z, num_own)
    near(arrow @ z_arrow, array @ z)
    near(arrow @ jnp.stack([z_arrow, 2.0 * z_arrow], axis=1), array @ jnp.stack([z, 2.0 * z], axis=1))
    same(arrow.T @ along, array.T @ along)
    near(arrow.T @ many, by_latent(np.asarray(array.T @ many), num_own))
    near(dense.lengths(arrow), dense.lengths(array))
    near(dense.rows_scaled(arrow, along) @ z_arrow, dense.rows_scaled(array, along) @ z)
    near(dense.quadratic_forms(arrow, many), dense.quadratic_forms(array, many))
    near(whole(dense.gram(arrow, along), num_own), dense.gram(array, along))
    near(dense.log_dets(arrow, weights), dense.log_dets(array, weights))

    h, full_h = dense.one_plus(arrow, weights[:, 0] + 0.2), dense.one_plus(array, weights[:, 0] + 0.2)
    near(whole(h, num_own), full_h)
    same(h @ z_arrow, full_h @ z)
    near(whole(h + h, num_own), full_h + full_h)
    factor, full_factor = dense.cholesky(h), dense.cholesky(full_h)
    near(whole(factor, num_own), full_factor)
    for function in (dense.solve, dense.half_solved, dense.coloured, dense.stretched):
        same(function(factor, z_arrow), function(full_factor, z))
    same(dense.log_diagonal(factor), dense.log_diagonal(full_factor))
    near(dense.whiten(factor, arrow) @ z_arrow, dense.whiten(full_factor, array) @ z)
    other, full_other = dense.gram(arrow, along), dense.gram(array, along)
    near(dense.trace(factor, other), dense.trace(full_factor, full_other))

    spread, full_spread = dense.spread_of(factor), dense.spread_of(full_factor)
    near(whole(spread, num_own), full_spread)
    same(spread @ z_arrow, full_spread @ z)
    same(dense.lengths(spread), dense.lengths(full_spread))
    for part, full_part in zip(dense.as_shape(spread)[:2], dense.as_shape(full_spread)[:2], strict=True):
        same(part, full_part)
    shape = dense.as_shape(spread)[2]
    near(whole(shape, num_own), dense.as_shape(full_spread)[2])
    near(dense.shape_solved(shape, shape @ z_arrow), z_arrow)


@pytest.mark.parametrize("sizes", [[1] * 9, [4, 4, 4], [50, 1, 0, 1], [0, 0, 3], [0]])
def test_every_term_has_one_row_in_its_group(sizes):
    group = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    group = np.concatenate([group, [-1, -1]])
    rows = arranged(group, len(sizes), len(group) + 3)
    of_chunk = np.arange(len(sizes)) if rows.group is None else rows.group
    assert rows.source.shape[1] == len(of_chunk)
    assert np.all(np.diff(of_chunk) >= 0)
    counting = np.flatnonzero(group >= 0)
    flat = np.append(rows.source.ravel(), len(rows.slot))
    assert_array_equal(flat[rows.slot[counting]], counting)
    assert_array_equal(of_chunk[rows.slot[counting] % rows.source.shape[1]], group[counting])
    assert np.sum(flat < len(rows.slot)) == len(counting)
    assert np.all(rows.slot[group.size :] >= rows.source.size)


# ------------------------------------------------------------------ models that are arrows, and some that are not

GROUPS, ITEMS, NUM_ROWS = 12, 5, 60


def effects(name: str, size: int, centred: bool):
    spread = numpyro.sample(f"spread_{name}", dist.HalfNormal(1.0))
    with numpyro.plate(f"{name}s", size):
        value = numpyro.sample(name, dist.Normal(0.0, spread if centred else 1.0))
    return value if centred else spread * value


def logistic(group, item, x, y=None, *, centred=True):
    """Persons by items, with a covariate."""
    logits = numpyro.sample("b", dist.Normal(0.0, 1.0)) * x
    logits += effects("person", GROUPS, centred)[group] - effects("item", ITEMS, centred)[item]
    numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)


def non_centred(group, item, x, y=None):
    logistic(group, item, x, y, centred=False)


def heavy(group, item, x, y=None):
    """Intercepts with tails: their priors are terms too."""
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("persons", GROUPS):
        person = numpyro.sample("person", dist.StudentT(5.0, 0.0, spread))
    numpyro.sample("y", dist.Poisson(jnp.exp(0.2 * person[group] + 0.1 * x)), obs=y)


def slopes(group, item, x, y=None):
    """Correlated intercepts and slopes around a mean that is unknown too, and normal rows."""
    sds = numpyro.sample("sds", dist.HalfNormal(1.0).expand([2]).to_event(1))
    correlation = numpyro.sample("correlation", dist.LKJCholesky(2, 2.0))
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("persons", GROUPS):
        person = numpyro.sample("person", dist.MultivariateNormal(mean, scale_tril=sds[:, None] * correlation))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(person[group, 0] + person[group, 1] * x, sigma), obs=y)


def duel(group, item, x, y=None):
    """Each row has two persons."""
    strength = effects("person", GROUPS, True)
    numpyro.sample("y", dist.Bernoulli(logits=strength[group] - strength[(group + 1 + item) % GROUPS]), obs=y)


def walk(group, item, x, y=None):
    """The prior ties each entry to the next one."""
    step = numpyro.sample("step", dist.HalfNormal(1.0))
    level = numpyro.sample("level", dist.MultivariateNormal(scale_tril=step * jnp.tril(jnp.ones((GROUPS, GROUPS)))))
    numpyro.sample("y", dist.Bernoulli(logits=level[group]), obs=y)


def arguments(model, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows in no order, groups of several sizes; responses of some effects."""
    rng = np.random.default_rng(seed)
    group = rng.choice(GROUPS, NUM_ROWS, p=np.arange(1, GROUPS + 1) / (GROUPS * (GROUPS + 1) / 2))
    item, x = rng.integers(0, ITEMS, NUM_ROWS), rng.normal(size=NUM_ROWS)
    mean = 0.8 * rng.normal(size=GROUPS)[group] + 0.3 * x
    if model is slopes:
        y = mean + 0.5 * rng.normal(size=NUM_ROWS)
    else:
        y = rng.poisson(np.exp(0.3 * mean)) if model is heavy else rng.uniform(size=NUM_ROWS) < 1 / (1 + np.exp(-mean))
    return {"group": group, "item": item, "x": x, "y": y if model is slopes else y.astype(int)}


def look(model, data):
    read = read_model(model, data)
    dataset = pad_dataset(read, read_arrays(read, data), 64)
    return read, read_structure(read), jax.tree.map(jnp.asarray, dataset)


@pytest.fixture
def always(monkeypatch):
    """Arrows however small."""
    monkeypatch.setattr(arrows, "FEWEST_LATENTS", 0)
    monkeypatch.setattr(arrows, "MOST_LEFT", 1.0)


@pytest.mark.parametrize(
    ("model", "axis"),
    [(logistic, "persons"), (non_centred, "persons"), (heavy, "persons"), (slopes, "persons"), (duel, "")],
)
def test_axes_are_found(model, axis, always):
    read, structure, dataset = look(model, arguments(model))
    found, rows = find_arrow(read, structure, dataset)
    assert found.axis == axis
    if axis:
        order = order_of(read, structure.scale_sites, axis)
        assert order.own.shape == (2 if model is slopes else 1, GROUPS)
        vector = jnp.arange(1.0, order.size + 1.0)
        where = read.space.places(structure.scale_sites)
        assert_array_equal(np.sort(order.restore(vector)[where]), 0.0)
        kept = order.from_z < read.space.size
        assert_array_equal(order.arrange(order.restore(vector)), np.where(kept, vector, 0.0))
        assert len(rows.rows) == 1 + (model is slopes)


def test_a_prior_that_ties_neighbours_is_no_arrow(always):
    read, structure, dataset = look(walk, arguments(walk))
    assert structure.scale_sites == ("step",)
    assert find_arrow(read, structure, dataset) == (structure, None)


def test_small_models_stay_dense():
    read, structure, dataset = look(logistic, arguments(logistic))
    assert find_arrow(read, structure, dataset) == (structure, None)


# ------------------------------------------------------------------ sums over rows


def of_one_noise(group, item, x, y=None):
    """Rows of one unknown noise sd, each times a number of its own."""
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(effects("person", GROUPS, True)[group], sigma * jnp.exp(0.3 * x)), obs=y)


def of_two_noises(group, item, x, y=None):
    """What each row is measured with adds to the unknown noise."""
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    noise = jnp.sqrt(sigma**2 + jnp.exp(x))
    numpyro.sample("y", dist.Normal(effects("person", GROUPS, True)[group], noise), obs=y)


@pytest.mark.parametrize(("model", "are_summed"), [(of_one_noise, True), (of_two_noises, False)])
def test_rows_are_summed_where_scales_change_all_of_them_alike(model, are_summed, always):
    """The log joint that sums give differs from the model's own by one number, whatever scales and latents are."""
    data = arguments(slopes)
    read, structure, dataset = look(model, data)
    structure, rows = find_arrow(read, structure, dataset)
    sums = find_sums(read, structure, dataset, rows)
    assert (sums is not None) == are_summed
    if sums is not None:
        order = order_of(read, structure.scale_sites, structure.axis)
        where = read.space.places(structure.scale_sites)

        def gap(z):
            log_joint = summed(read, structure, z[where], sums)[2]
            return read.log_joint(z, dataset) - log_joint(order.arrange(z) - sums.at)

        gaps = jax.jit(vmap(gap))(0.5 * random.normal(random.key(0), (20, read.space.size)))
        assert_allclose(gaps, gaps[0], atol=2e-3)  # float32, of some 100 nats


# ------------------------------------------------------------------ posteriors


def widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


@pytest.mark.parametrize("log_spread", [-8.0, 0.0])
@pytest.mark.parametrize("log_noise", [-1.0, 3.0])
def test_effects_of_next_to_no_spread_around_an_unknown_mean(log_spread, log_noise, always):
    """The normal rest given its scales with 32 bits as with 64, where dense entries of e^16 cancel."""

    def rest_given_scales(double: bool, arrow: bool):
        with precision(double):
            read, structure, dataset = look(slopes, arguments(slopes))
            structure, arrangement = find_arrow(read, structure, dataset) if arrow else (structure, None)
            arrangement = jax.tree.map(jnp.asarray, arrangement)
            values = {"sds": log_spread, "sigma": log_noise, "correlation": 0.5}
            z = jnp.zeros(read.space.size)
            for name in structure.scale_sites:
                z = z.at[read.space.coordinates(name)].set(values[name])
            terms = conditional_terms(read, structure, z, dataset, arrangement)
            loc, factor = dense.gaussian(terms.precision, terms.linear)
            log_det = jnp.sum(jnp.where(terms.mask, dense.log_diagonal(factor), 0.0))
            if arrow:
                order = order_of(read, structure.scale_sites, structure.axis)
                loc = order.restore(tied(loc, arrangement.ties))
            return np.asarray(loc), float(log_det)

    loc, log_det = rest_given_scales(double=False, arrow=True)
    exact_loc, exact_log_det = rest_given_scales(double=True, arrow=False)
    assert_allclose(loc, exact_loc, atol=1e-5)
    assert abs(log_det - exact_log_det) < 1e-3


@pytest.mark.parametrize(
    "model", [logistic, slopes, *(pytest.param(model, marks=pytest.mark.slow) for model in (non_centred, heavy))]
)
def test_posteriors_are_those_of_the_dense_road(model, monkeypatch):
    """Densities of the same 60 draws of the dense q: 0.02 nats, of some 70.

    Where the rest is Gaussian it is exact, and dense matrices of 64 bits tell what it is: those of 32 are off by a nat
    where effects have next to no spread around their unknown mean.
    """
    read, structure, dataset = look(model, arguments(model))
    network = InformedNetwork(shipped_network(), read, structure)
    q = network(dataset)
    z, log_q = q.sample_and_log_prob(random.key(0), 60)
    monkeypatch.setattr(arrows, "FEWEST_LATENTS", 0)
    monkeypatch.setattr(arrows, "MOST_LEFT", 1.0)
    arrow_q = network(dataset)
    assert type(arrow_q.rest).__name__ == "ArrangedRest" != type(q.rest).__name__
    assert_array_equal(arrow_q.mask, q.mask)

    def given_scales(own, at):
        scales = at[own.where]
        return own.rest.log_prob(jnp.where(own.rest.mask, at, 0.0), scales, own.scales.normal_scores(scales))

    if structure.is_gaussian:  # sums are searched through from closer by, for other axes
        with precision(True):
            wide_q, wide_z = jax.tree.map(lambda leaf: jnp.asarray(widened(np.asarray(leaf))), (q, z))
            exact = np.asarray(jax.jit(vmap(lambda at: given_scales(wide_q, at)))(wide_z))
        assert_allclose(jax.jit(vmap(lambda at: given_scales(arrow_q, at)))(z), exact, atol=0.02)
    else:
        assert_allclose(jax.jit(vmap(arrow_q.log_prob))(z), log_q, atol=0.02)
    own, own_log_q = arrow_q.sample_and_log_prob(random.key(1), 400)
    assert_allclose(jax.jit(vmap(arrow_q.log_prob))(own), own_log_q, atol=0.01)
    # Importance weights of both have one mean, the evidence.
    log_joint = jax.jit(vmap(lambda at: read.log_joint(at, dataset)))
    ratios = [
        np.asarray(log_joint(at) - log) for at, log in ((own, own_log_q), q.sample_and_log_prob(random.key(2), 400))
    ]
    errors = [np.std(np.exp(r - r.max())) / np.mean(np.exp(r - r.max())) / np.sqrt(r.size) for r in ratios]
    evidence = [np.log(np.mean(np.exp(r - r.max()))) + r.max() for r in ratios]
    assert abs(evidence[0] - evidence[1]) < 4.0 * np.hypot(*errors) + 0.01  # 1 false alarm in 15,000
