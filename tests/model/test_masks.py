"""Variable plates in models of one's own: masks reach priors, likelihoods, log-dets and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from model.pieces import garbage
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from posterity.model.dataset import Dataset
from posterity.model.read import read_model
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import build_simulator

CAPACITY, SIZE, NUM_ROWS, PADDED_ROWS = 4, 2, 6, 10


def varying_scales(x):
    """Positive and simplex latents inside the plate, each with a log-det of its own, and data in it."""
    with numpyro.plate("sensors", x.shape[1]):
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.5))
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(3)))
        slope = numpyro.sample("slope", dist.Uniform(-1.0, 2.0))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("x", dist.Normal(slope + weights[:, 0], scale), obs=x)


def hierarchical(x, y):
    """A spread shared by a plate, and a site outside it that looks at all its entries."""
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("features", x.shape[1]):
        w = numpyro.sample("w", dist.Normal(0.0, tau))
    total = numpyro.sample("total", dist.Normal(jnp.sum(w), 0.1))
    numpyro.sample("y", dist.Normal(x @ w + total, 1.0), obs=y)


def positive_weights(x, y):
    """Masked weights are exp(0) = 1, so that only zeros in x keep them out of the mean."""
    with numpyro.plate("features", x.shape[1]):
        w = numpyro.sample("w", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Poisson(jnp.exp(0.1 * x @ w)), obs=y)


def two_plates(x, u):
    """Two plates that vary independently of each other, one nested in the other for a matrix of latents."""
    with numpyro.plate("outputs", u.shape[1], dim=-1):
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        with numpyro.plate("features", x.shape[1], dim=-2):
            w = numpyro.sample("w", dist.Laplace(0.0, 1.0))
        with numpyro.plate("observations", x.shape[0], dim=-2):
            numpyro.sample("u", dist.Normal(x @ w + b, 1.0), obs=u)


MODELS = {
    "varying_scales": (varying_scales, {"x": (CAPACITY,)}, ("sensors",)),
    "hierarchical": (hierarchical, {"x": (CAPACITY,), "y": ()}, ("features",)),
    "positive_weights": (positive_weights, {"x": (CAPACITY,), "y": ()}, ("features",)),
    "two_plates": (two_plates, {"x": (CAPACITY,), "u": (5,)}, ("outputs", "features")),
}


def _arrays(model, shapes):
    rng = np.random.default_rng(2)
    arrays = {name: rng.normal(size=(NUM_ROWS, *shape)).astype(np.float32) for name, shape in shapes.items()}
    return arrays | {"y": rng.integers(0, 4, NUM_ROWS)} if model is positive_weights else arrays


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    """Numbers of a checked model when each plate keeps its first 2 entries, beside those of the small model."""
    function, shapes, plates = MODELS[request.param]
    arrays = _arrays(function, shapes)
    capacity = {"outputs": 5}
    envelope = Envelope((4, 16), {plate: (1, capacity.get(plate, CAPACITY)) for plate in plates})
    model = build_simulator(function, arrays, envelope, covariates="normal").model
    cut = {name: array[:, :SIZE] if array.ndim == 2 else array for name, array in arrays.items()}
    small = read_model(function, cut)
    masks = model.plate_masks(dict.fromkeys(plates, SIZE))
    z = jnp.asarray(np.random.default_rng(5).normal(0.0, 0.7, model.space.size), jnp.float32)

    def numbers(z, arrays, cut):
        mask = model.space.mask(masks)
        latents = model.space.constrain(z)
        for site in model.space.sites:
            keep = tuple(slice(SIZE) if plate in plates else slice(None) for plate in site.plates)
            latents[site.name] = latents[site.name][keep]
        dirty = Dataset({n: _dirty(a) for n, a in arrays.items()}, jnp.arange(PADDED_ROWS) < NUM_ROWS, masks)
        z_small = small.space.unconstrain(latents)
        return {
            "mask": mask,
            "masked": jax.value_and_grad(model.log_joint)(jnp.where(mask, z, jnp.nan), dirty),
            "small": jax.value_and_grad(small.log_joint)(z_small, Dataset(cut, jnp.ones(NUM_ROWS, bool), {})),
            "log_dets": (
                model.space.constrain_and_log_det(z, masks)[1],
                small.space.constrain_and_log_det(z_small, {})[1],
            ),
        }

    asarrays = [{k: jnp.asarray(v) for k, v in values.items()} for values in (arrays, cut)]
    return jax.device_get(jax.jit(numbers)(z, *asarrays))


def _dirty(array):
    """The array with garbage in masked columns and in padded rows."""
    if array.ndim == 2:
        array = jnp.concatenate([array[:, :SIZE], garbage(array[:, SIZE:])], axis=1)
    padding = jnp.zeros((PADDED_ROWS - NUM_ROWS, *array.shape[1:]), array.dtype)
    return jnp.concatenate([array, garbage(padding)])


def test_masked_model_is_the_small_model(case):
    (value, gradient), (small_value, small_gradient) = case["masked"], case["small"]
    assert_allclose(value, small_value, rtol=1e-5, atol=1e-4)
    assert_array_equal(gradient[~case["mask"]], 0.0)
    assert_allclose(gradient[case["mask"]], small_gradient, rtol=1e-3, atol=1e-3)


def test_log_det_counts_kept_entries_only(case):
    assert_allclose(*case["log_dets"], rtol=1e-5, atol=1e-5)


def test_two_plates_follow_their_own_arguments():
    function, shapes, _ = MODELS["two_plates"]
    model = read_model(function, _arrays(function, shapes), {"outputs": 7, "features": 3})
    assert {a.name: (a.shape, a.plates) for a in model.arguments} == {
        "x": ((3,), ("features",)),
        "u": ((7,), ("outputs",)),
    }
    assert {s.name: (s.shape, s.plates) for s in model.space.sites} == {
        "b": ((7,), ("outputs",)),
        "w": ((3, 7), ("features", "outputs")),
    }


def test_sites_outside_a_plate_see_masked_latents_when_simulated():
    """`total` is drawn around the sum of the kept weights alone; with all 4 its variance would be twice as large."""
    function, shapes, _ = MODELS["hierarchical"]
    arrays = _arrays(function, shapes)
    model = read_model(function, arrays, {"features": CAPACITY})
    masks, x = model.plate_masks({"features": SIZE}), jnp.asarray(arrays["x"])
    draw = jax.jit(jax.vmap(lambda key: model.space.constrain(model.sample_prior(key, {"x": x}, NUM_ROWS, masks))))
    latents = draw(random.split(random.key(3), 2000))
    gap = np.asarray(latents["total"] - jnp.sum(latents["w"], axis=1))
    assert_array_equal(latents["w"][:, SIZE:], 0.0)
    # (n - 1) s^2 / 0.1^2 is chi-squared; one false alarm in 10^6
    assert stats.chi2(1999).ppf(5e-7) < 1999 * np.var(gap, ddof=1) / 0.01 < stats.chi2(1999).isf(5e-7)


def test_prior_draws_that_underflow_stay_finite():
    """Two in five draws of Gamma(0.01) are 0 in float32, and their logarithm is -inf."""

    def model(y):
        numpyro.sample("y", dist.Poisson(numpyro.sample("rate", dist.Gamma(0.01, 1.0))), obs=y)

    served = read_model(model, {"y": np.array([0, 1])})
    draw = jax.jit(jax.vmap(lambda key: served.sample_prior(key, {}, 2)))
    z = np.asarray(draw(random.split(random.key(0), 500)))
    assert np.all(np.isfinite(z)) and 0.2 < np.mean(z < -86.0) < 0.6


def test_masked_coordinates_are_drawn_as_exact_zeros():
    """The masked simplexes and intervals as well, whose bijectors return to 0 only nearly."""
    function, shapes, _ = MODELS["varying_scales"]
    model = read_model(function, _arrays(function, shapes), {"sensors": CAPACITY})
    masks = model.plate_masks({"sensors": SIZE})
    z = jax.jit(lambda key: model.sample_prior(key, {}, NUM_ROWS, masks))(random.key(0))
    assert_array_equal(z != 0.0, model.space.mask(masks))


def test_evidence_with_a_bijector_in_the_way():
    """Integrating over z = log(sigma) equals integrating over sigma: what a missing log-det would break."""

    def model(y):
        numpyro.sample("y", dist.Normal(0.0, numpyro.sample("sigma", dist.HalfNormal(1.0))), obs=y)

    y = np.array([0.3, -1.2, 0.8])
    served = read_model(model, {"y": y})
    dataset = Dataset({"y": jnp.asarray(y, jnp.float32)}, jnp.ones(3, bool), {})
    grid = np.linspace(-6.0, 3.0, 3001)
    values = jax.jit(jax.vmap(lambda z: served.log_joint(z, dataset)))(jnp.asarray(grid[:, None], jnp.float32))
    evidence = np.trapezoid(np.exp(np.asarray(values, np.float64)), grid)
    expected, _ = integrate.quad(lambda s: stats.halfnorm.pdf(s) * np.prod(stats.norm.pdf(y, 0, s)), 0, 20)
    assert_allclose(evidence, expected, rtol=1e-4)


def test_rows_the_likelihood_cannot_produce():
    def model(y, n):
        rate = numpyro.sample("rate", dist.Beta(1.0, 1.0))
        numpyro.sample("y", dist.Binomial(n, rate), obs=y)

    served = read_model(model, {"y": np.array([0, 1]), "n": np.array([3, 3])})
    values = {"y": jnp.array([4, 2, 3, -1, 9]), "n": jnp.array([3, 3, 3, 3, 3])}
    dataset = Dataset(values, jnp.array([True, True, True, True, False]), {})
    assert_array_equal(jax.jit(served.unsupported_rows)(dataset)["y"], [True, False, False, True, False])


def test_support_that_follows_a_latent_is_left_to_the_likelihood():
    def model(y):
        numpyro.sample("y", dist.Uniform(0.0, numpyro.sample("theta", dist.HalfNormal(5.0))), obs=y)

    served = read_model(model, {"y": np.array([0.5, 9.0])})
    dataset = Dataset({"y": jnp.array([0.5, 9.0])}, jnp.ones(2, bool), {})
    assert jax.jit(served.unsupported_rows)(dataset) == {}
    below, above = jax.jit(jax.vmap(lambda z: served.log_joint(z, dataset)))(jnp.log(jnp.array([[8.0], [10.0]])))
    assert below == -jnp.inf and jnp.isfinite(above)


def test_rounding_is_not_taken_for_a_leak():
    """Weights of 10^4 beside noise of 0.01: masked and small models differ by what float32 cannot resolve."""

    def model(x, y):
        with numpyro.plate("features", x.shape[1]):
            w = numpyro.sample("w", dist.Normal(0.0, 1e4))
        numpyro.sample("y", dist.Normal(x @ w, 0.01), obs=y)

    example = {"x": np.ones((3, 10)), "y": np.ones(3)}
    build_simulator(model, example, Envelope((16, 64), {"features": (5, 10)}), covariates="normal")


@pytest.mark.parametrize("sizes", [{"sensors": SIZE}, {"sensors": CAPACITY}, {}])
def test_active_coordinates_are_counted_as_the_mask_has_them(sizes):
    model = read_model(varying_scales, {"x": np.zeros((NUM_ROWS, CAPACITY))}, {"sensors": CAPACITY})
    masks = model.plate_masks({**model.capacity, **sizes})
    assert model.space.num_active(sizes) == int(np.sum(np.asarray(model.space.mask(masks))))
