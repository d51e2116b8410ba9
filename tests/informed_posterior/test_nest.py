"""Densities of scales: laws of the piecewise one, peaks that must be found, and regressions as oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from informed_posterior.cases import NUM_COLUMNS, draw, ess_share, model_of, stack
from jax import lax, random, vmap
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.nest.density import LOWEST, AxesDensity, PiecewiseDensity
from posterity.informed_posterior.nest.interpolation import design, interpolation_weights
from posterity.informed_posterior.nest.search import NUM_KNOTS, find_density
from posterity.informed_posterior.read.structure import read_structure

# ---------------------------------------------------------------------------------- the piecewise density

KNOTS = np.linspace(-2.0, 1.0, 7)
PIECEWISE = {
    "normal": -0.5 * (KNOTS + 0.5) ** 2 / 0.3,
    "flat_inside": np.array([-5.0, 0.0, 0.0, 0.0, 0.0, 0.0, -4.0]),
    "rising": np.linspace(0.0, 30.0, 7),  # both tails must be made to fall
    "rough": np.array([-3.0, 1.0, -40.0, 2.0, -1.0, 0.5, -2.0]),
    "far_below_zero": -1e4 - 2.0 * np.abs(KNOTS),
    "deep_ends": np.array([-200.0, -30.0, -5.0, 0.0, -5.0, -30.0, -200.0]),
}
PROBABILITIES = np.concatenate([[1e-5, 1e-3], np.linspace(0.01, 0.99, 99), [0.999]])
NUM_POINTS, NUM_SAMPLES = 8192, 2000


@pytest.fixture(scope="module")
def densities():
    """Numbers of all of `PIECEWISE` from one program, on a grid from one tail's end to the other's."""

    def look(given):
        values, rng_key = given
        density = PiecewiseDensity(jnp.asarray(KNOTS, jnp.float32), values)
        low, high = density.quantile(jnp.asarray(1e-6)), density.quantile(jnp.asarray(1.0 - 1e-6))
        x = low + (high - low) * (jnp.arange(NUM_POINTS) + 0.5) / NUM_POINTS
        quantiles = density.quantile(jnp.asarray(PROBABILITIES, jnp.float32))
        return {
            "density": density,
            "x": x,
            "log_prob": density.log_prob(x),
            "cdf": vmap(density.cdf)(x),
            "slope": vmap(jax.grad(density.cdf))(x),
            "again": vmap(density.cdf)(quantiles),
            "quantiles": quantiles,
            "samples": density.quantile(random.uniform(rng_key, (NUM_SAMPLES,))),
        }

    values = jnp.asarray(np.stack(list(PIECEWISE.values())), jnp.float32)
    found = jax.jit(lambda *given: lax.map(look, given))(values, random.split(random.key(0), len(PIECEWISE)))
    found = jax.device_get(found)
    return {name: jax.tree.map(lambda leaf, i=i: leaf[i], found) for i, name in enumerate(PIECEWISE)}


EACH = pytest.mark.parametrize("name", PIECEWISE)


@EACH
def test_density_integrates_to_one(densities, name):
    """In float64, up to the 2e-6 beyond the grid and the grid's kinks."""
    found = densities[name]
    step = np.float64(found["x"][-1] - found["x"][0]) / (NUM_POINTS - 1)
    assert_allclose(np.exp(found["log_prob"].astype(np.float64)).sum() * step, 1.0, atol=1e-3)
    assert_allclose(found["density"].masses.sum(), 1.0, rtol=1e-6)
    assert (found["density"].masses >= 0.0).all()


@EACH
def test_log_density_is_what_was_given_up_to_a_constant(densities, name):
    """Down to the floor far below the peak that keeps exponentials finite."""
    found = densities[name]["density"]
    given = np.maximum(PIECEWISE[name] - PIECEWISE[name].max(), -LOWEST)
    assert_allclose(found.log_density - found.log_density.max(), given, rtol=1e-6, atol=1e-3)


@EACH
def test_distribution_function_inverts_the_quantiles(densities, name):
    """To float32: a quantile near 1 has a relative error of 1e-7, and the steepest density here is 30."""
    found = densities[name]
    assert_allclose(found["again"], PROBABILITIES, atol=1e-5)
    assert (np.diff(found["quantiles"]) > 0.0).all()
    assert (np.diff(found["cdf"]) >= -1e-6).all()


@EACH
def test_density_is_the_slope_of_the_distribution_function(densities, name):
    found = densities[name]
    assert np.isfinite(found["log_prob"]).all()
    assert_allclose(found["slope"], np.exp(found["log_prob"]), rtol=2e-3, atol=1e-5)


@EACH
def test_samples_follow_the_density(densities, name):
    """Kolmogorov-Smirnov against the integrated density; 1 false alarm in 10^5, were the key not fixed."""
    found = densities[name]
    step = np.float64(found["x"][-1] - found["x"][0]) / (NUM_POINTS - 1)
    cdf = np.cumsum(np.exp(found["log_prob"].astype(np.float64))) * step
    assert stats.kstest(found["samples"], lambda x: np.interp(x, found["x"] + step / 2, cdf)).pvalue > 1e-5


# ----------------------------------------------------------------------------------------- finding the grid

RNG = np.random.default_rng(3)
PEAKS = {  # name -> shape (0: normal, 1: log of a gamma variable, -1: its mirror image), centre, spread
    **{f"normal_{sd}_{i}": (0.0, RNG.uniform(-11.0, 11.0), sd) for sd in (0.02, 0.1, 0.5, 3.0) for i in range(4)},
    "normal_on_a_knot": (0.0, 2.0, 0.02),
    "normal_between_knots": (0.0, 3.0, 0.02),
    "normal_near_the_edge": (0.0, 11.97, 0.05),
    **{f"gamma_{shape}": (1.0, RNG.uniform(-8.0, 8.0), shape) for shape in (1.0, 3.0, 100.0)},
    **{f"mirrored_{shape}": (-1.0, RNG.uniform(-8.0, 8.0), shape) for shape in (1.0, 3.0, 100.0)},
}
STEEP_SIDES = {  # e^(-|x| / 2) on one side and e^(-e^|x|) on the other: too much for a grid, but no reason to break
    **{f"gamma_{centre}": (1.0, centre, 0.5) for centre in (-5.3, 0.4, 6.1)},
    **{f"mirrored_{centre}": (-1.0, centre, 0.5) for centre in (-5.3, 0.4, 6.1)},
}


def find_grid(value_at):
    """The grid of one dataset, without terms."""

    def look(scales, starts):
        return starts, vmap(vmap(lambda scale: value_at(scale[0])))(scales)

    density, _ = find_density(look, look, jnp.zeros((1, 1)), 1)
    return jax.tree.map(lambda leaf: leaf[0, 0], density.profiles)


@pytest.fixture(scope="module")
def grids():
    """Densities found for all of `PEAKS` and `STEEP_SIDES`."""
    peaks = PEAKS | STEEP_SIDES

    def find(given):
        shape, centre, spread = given

        def value_at(tau):
            far = (tau - centre) * jnp.where(shape < 0.0, -1.0, 1.0)
            value = jnp.where(shape == 0.0, -0.5 * jnp.square(far / spread), spread * (far - jnp.exp(far)))
            return value - 300.0

        return find_grid(value_at)

    found = jax.device_get(
        jax.jit(lambda *given: lax.map(find, given))(*jnp.asarray(list(peaks.values()), jnp.float32).T)
    )
    return {name: jax.tree.map(lambda leaf, i=i: leaf[i], found) for i, name in enumerate(peaks)}


@pytest.mark.parametrize("name", PEAKS)
def test_grid_finds_the_peak(grids, name):
    """Importance ESS of the piecewise density, by sums over a fine grid in float64: 1 / E_p[p / q] > 0.95."""
    shape, centre, spread = PEAKS[name]
    truth = stats.norm(0.0, spread) if shape == 0.0 else stats.loggamma(spread, loc=-np.log(spread))
    far = np.linspace(*truth.ppf([1e-7, 1.0 - 1e-7]), 20001)
    log_p = truth.logpdf(far)
    q = grids[name]
    x = centre + np.where(shape < 0.0, -far, far)
    knots = q.knots.astype(np.float64)
    stretch = np.searchsorted(knots, x)
    base = np.maximum(stretch - 1, 0)
    log_q = q.log_density[base] + q.slopes[stretch] * (x - knots[base])
    step = far[1] - far[0]
    assert 1.0 / (np.exp(2.0 * log_p - log_q).sum() * step) > 0.95
    assert (knots[1] - knots[0]) < 1.1 * truth.std()
    assert_allclose(np.diff(knots), (knots[-1] - knots[0]) / (NUM_KNOTS - 1), rtol=1e-3)


def test_steep_sides_do_not_overflow(grids):
    for name in STEEP_SIDES:
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grids[name])), name


def test_grid_survives_what_cannot_be_evaluated():
    """Values that are NaN or infinite beyond a point, as a scale of e^12 may give, are as good as impossible."""

    def value_at(tau):
        value = -0.5 * jnp.square(tau - 1.0)
        return jnp.where(tau > 5.0, jnp.nan, jnp.where(tau < -5.0, -jnp.inf, value))

    density = jax.jit(lambda: find_grid(value_at))()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(density))
    assert density.knots[0] < -1.0
    assert density.knots[-1] > 3.0
    assert_allclose(density.log_prob(jnp.asarray(1.0)), -0.5 * np.log(2.0 * np.pi), atol=0.1)


# ----------------------------------------------------------------------------------------- several scales


def funnel(tau):
    """The second is e^(first / 2) wide."""
    return -0.5 * jnp.square(tau[0] / 1.5) - 0.5 * jnp.square(tau[1]) * jnp.exp(-tau[0]) - 0.5 * tau[0]


def bent_funnel(tau):
    """A third that follows a parabola of the first besides: sharper than a ridge of second differences can."""
    return funnel(tau[:2]) - 0.5 * jnp.square((tau[2] - 0.2 * jnp.square(tau[0])) / 0.3)


def variance_that_may_be_none(tau):
    """Two log sds of which the first may be as small as it likes, but for its prior: nearly flat far down."""
    total = jnp.logaddexp(2.0 * tau[0], 2.0 * tau[1])
    prior = tau[0] - 0.5 * jnp.exp(2.0 * tau[0]) + tau[1] - 0.5 * jnp.exp(2.0 * tau[1])
    return prior - 6.0 * (2.0 * tau[1] + jnp.exp(-2.0 * tau[1])) - 4.0 * (total + jnp.exp(-total))


ROTATED = np.linalg.qr(np.random.default_rng(5).normal(size=(4, 4)))[0]
SHAPES = {  # name -> number of scales, log density up to a constant, least importance ESS
    "normal": (2, lambda tau: -0.5 * jnp.sum(jnp.square((tau - jnp.asarray([3.0, -6.0])) / 0.3)), 0.97),
    "narrow": (4, lambda tau: -0.5 * jnp.sum(jnp.square(ROTATED @ tau / jnp.asarray([0.02, 0.1, 0.5, 1.0]))), 0.95),
    "gammas": (3, lambda tau: jnp.sum(3.0 * (tau @ jnp.asarray(ROTATED[:3, :3])) - jnp.exp(tau) - jnp.exp(-tau)), 0.85),
    "eight": (8, lambda tau: -0.5 * jnp.sum(jnp.square(tau - 1.0)) - 0.5 * jnp.square(jnp.sum(tau) - 4.0), 0.9),
    "funnel": (2, funnel, 0.9),
    "none": (2, variance_that_may_be_none, 0.89),
    "bent_funnel": (3, bent_funnel, 0.6),
}


BEYOND = pytest.mark.xfail(reason="the ridge is lost: an importance ESS of 0.1 to 0.25")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=BEYOND) if name == "bent_funnel" else name for name in SHAPES]
)
def test_density_of_several_scales_is_close(name):
    """Importance ESS of 4000 draws, of which it takes the share; the density's log_prob is used as it is."""
    num_scales, value_at, least = SHAPES[name]

    def look(scales, starts):
        return starts, vmap(vmap(lambda tau: value_at(tau) - 700.0))(scales)

    def rate(rng_key):
        density, _ = find_density(look, look, jnp.zeros((1, 1)), num_scales)
        density = jax.tree.map(lambda leaf: leaf[0], density)
        tau = vmap(density.quantile)(random.uniform(rng_key, (4000, num_scales), minval=1e-6, maxval=1.0 - 1e-6))
        return ess_share(vmap(value_at)(tau) - vmap(density.log_prob)(tau)), tau, vmap(density.normal_scores)(tau)

    share, _, scores = jax.jit(rate)(random.key(1))
    assert share > least
    # Normal scores of draws are standard normal: means and sds within 4.5 standard errors, 8 scales at most.
    assert (np.abs(np.mean(scores, axis=0)) < 4.5 / np.sqrt(4000)).all()
    assert (np.abs(np.std(scores, axis=0) - 1.0) < 4.5 / np.sqrt(8000)).all()


def test_density_along_a_ridge_integrates_to_one():
    """In two dimensions, over a grid in float64."""
    knots = jnp.linspace(-4.0, 4.0, NUM_KNOTS)
    profiles = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), PiecewiseDensity(knots, -0.5 * jnp.square(knots)))
    bend, stretch = 0.1 * jnp.square(knots), 0.2 * knots
    axes = jnp.asarray([[1.0, 0.3], [-0.5, 0.8]])
    nothing = jnp.zeros(NUM_KNOTS)
    density = AxesDensity(
        jnp.asarray([1.0, -2.0]),
        axes,
        jnp.linalg.inv(axes),
        profiles,
        jnp.stack([nothing, bend], 1),
        jnp.stack([nothing, stretch], 1),
    )
    one, other = jnp.linspace(-9.0, 11.0, 801), jnp.linspace(-16.0, 12.0, 801)
    grid = jnp.stack(jnp.meshgrid(one, other, indexing="ij"), axis=-1).reshape(-1, 2)
    log_density = np.asarray(jax.jit(vmap(density.log_prob))(grid), np.float64)
    assert_allclose(np.exp(log_density).sum() * (20.0 / 800) * (28.0 / 800), 1.0, atol=2e-3)


@pytest.mark.parametrize("num_axes", range(1, 9))
def test_interpolation_is_exact_at_the_design_and_for_straight_lines(num_axes):
    points = jnp.asarray(design(num_axes))
    inside = points[jnp.linalg.norm(points, axis=1) < np.sqrt(num_axes) + 1.5]
    weights = vmap(interpolation_weights)(inside)
    assert_allclose(weights @ jnp.sin(points[:, 0]), jnp.sin(inside[:, 0]), atol=2e-3)  # float32: large terms cancel
    v = 0.8 * random.normal(random.key(0), (200, num_axes))
    v = v[jnp.linalg.norm(v, axis=1) < np.sqrt(num_axes) + 1.5]
    weights = vmap(interpolation_weights)(v)
    assert_allclose(jnp.sum(weights, axis=1), 1.0, atol=1e-5)
    assert_allclose(weights @ points, v, atol=5e-3)


# ------------------------------------------------------------------ linear regression with unknown noise

NUM_ROWS, NUM_DATASETS, NUM_DRAWS = 30, 5, 4000


@pytest.fixture(scope="module")
def linear():
    """Draws for a few datasets with one masked weight, with everything that the tests compare."""
    model = model_of("linear_regression")
    network = InformedNetwork(RowNetwork(8, 2, key=random.key(0)), model, read_structure(model))
    datasets = [draw(model, random.key(i), NUM_ROWS, NUM_COLUMNS - 1)[0] for i in range(NUM_DATASETS)]

    def look(given):
        dataset, rng_key = given
        mask = model.space.mask(dataset.plate_masks)
        q = network(dataset)
        z, log_q = q.sample_and_log_prob(rng_key, NUM_DRAWS)
        again = vmap(q.log_prob)(jnp.where(mask, z[:200], 1e6))
        return {"z": z, "log_q": log_q, "again": again, "log_p": vmap(lambda v: model.log_joint(v, dataset))(z)}

    keys = random.split(random.key(1), NUM_DATASETS)
    found = jax.device_get(jax.jit(lambda *given: lax.map(look, given))(stack(datasets), keys))
    return jax.device_get(datasets), found


def exact_moments(dataset) -> tuple[np.ndarray, np.ndarray, float]:
    """Posterior mean and sd of (w, b, sigma) and the log evidence, exact given sigma, by a sum over log sigma."""
    x = np.asarray(dataset.values["x"], np.float64)[:, : NUM_COLUMNS - 1]
    y = np.asarray(dataset.values["y"], np.float64)
    design = np.column_stack([x, np.ones(len(x))])
    taus = np.linspace(-4.0, 4.0, 4001)
    log_joint, firsts, seconds = [], [], []
    for sigma in np.exp(taus):
        precision = np.eye(design.shape[1]) + design.T @ design / sigma**2
        covariance = np.linalg.inv(precision)
        mean = covariance @ design.T @ y / sigma**2
        # log p(y | sigma) = log p(y, z | sigma) - log p(z | y, sigma) at z = mean.
        log_lik = stats.norm.logpdf(y - design @ mean, 0.0, sigma).sum() + stats.norm.logpdf(mean).sum()
        log_lik += 0.5 * len(mean) * np.log(2.0 * np.pi) - 0.5 * np.linalg.slogdet(precision)[1]
        log_joint.append(log_lik + stats.halfnorm.logpdf(sigma) + np.log(sigma))
        firsts.append([*mean, sigma])
        seconds.append([*(np.diagonal(covariance) + mean**2), sigma**2])
    evidence = special.logsumexp(log_joint)
    weights = np.exp(np.array(log_joint) - evidence)
    mean = weights @ np.array(firsts)
    return mean, np.sqrt(weights @ np.array(seconds) - mean**2), evidence + np.log(taus[1] - taus[0])


def test_importance_ess(linear):
    """The rest is Gaussian given the scale: all that is approximate is between the knots."""
    _, found = linear
    shares = vmap(ess_share)(jnp.asarray(found["log_p"] - found["log_q"]))
    assert np.min(shares) > 0.95


def test_log_prob_of_draws_agrees_with_the_forward_pass(linear):
    """Whatever stands in the masked entry."""
    _, found = linear
    assert_allclose(found["again"], found["log_q"][:, :200], rtol=1e-4, atol=5e-3)


def test_masked_entries_of_draws_are_zero(linear):
    _, found = linear
    assert_array_equal(found["z"][..., NUM_COLUMNS - 1], 0.0)
    assert np.isfinite(found["z"]).all()
    assert (np.delete(found["z"], NUM_COLUMNS - 1, axis=-1).std(axis=1) > 1e-3).all()


@pytest.mark.parametrize("i", range(NUM_DATASETS))
def test_moments_are_those_of_the_exact_posterior(linear, i):
    """Importance-weighted means within 4.5 standard errors; 25 of them, 2e-4 in all, were the keys not fixed.

    The plain means are those of q: within a tenth of a posterior sd.
    """
    datasets, found = linear
    mean, sd, evidence = exact_moments(datasets[i])
    z = found["z"][i].astype(np.float64)
    values = np.column_stack([z[:, : NUM_COLUMNS - 1], z[:, NUM_COLUMNS], np.exp(z[:, NUM_COLUMNS + 1])])
    log_ratios = (found["log_p"][i] - found["log_q"][i]).astype(np.float64)
    weights = np.exp(log_ratios - special.logsumexp(log_ratios))
    error = np.sqrt(weights**2 @ (values - mean) ** 2)
    assert (np.abs(weights @ values - mean) < 4.5 * error).all()
    assert (np.abs(values.mean(axis=0) - mean) < 0.1 * sd).all()
    assert_allclose(values.std(axis=0), sd, rtol=0.1)
    # The weights also average to the evidence, so log q is normalised.
    assert_allclose(special.logsumexp(log_ratios) - np.log(NUM_DRAWS), evidence, atol=0.02)
