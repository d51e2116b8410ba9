"""Variable plates in models of one's own: masks reach priors, likelihoods, log-dets and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from posterity.model.build import build_problem
from posterity.model.dataset import Dataset
from posterity.simulation.envelope import Envelope

CAPACITY, SIZE, NUM_ROWS = 4, 2, 6


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
    """A checked problem and its numbers when each plate keeps its first 2 entries, beside the small model's."""
    model, shapes, plates = MODELS[request.param]
    arrays = _arrays(model, shapes)
    capacity = {"outputs": 5}
    envelope = Envelope((4, 16), {plate: (1, capacity.get(plate, CAPACITY)) for plate in plates})
    problem = build_problem(model, arrays, envelope, covariates="normal")
    cut = {name: array[:, :SIZE] if array.ndim == 2 else array for name, array in arrays.items()}
    small = build_problem(model, cut, Envelope((4, 16)), covariates="normal", check=False)
    masks = problem.plate_masks(dict.fromkeys(plates, SIZE))
    z = jnp.asarray(np.random.default_rng(5).normal(0.0, 0.7, problem.space.size), jnp.float32)

    def numbers(z, arrays, cut):
        mask = problem.space.mask(masks)
        garbage = {n: a.at[:, SIZE:].set(1e6) if a.ndim == 2 else a for n, a in arrays.items()}
        latents = problem.space.constrain(z)
        for site in problem.space.sites:
            keep = tuple(slice(SIZE) if plate in plates else slice(None) for plate in site.plates)
            latents[site.name] = latents[site.name][keep]
        rows = jnp.ones(NUM_ROWS, bool)
        large = jax.value_and_grad(problem.log_joint)(jnp.where(mask, z, jnp.nan), Dataset(garbage, rows, masks))
        z_small = small.space.unconstrain(latents)
        return {
            "mask": mask,
            "masked": large,
            "small": jax.value_and_grad(small.log_joint)(z_small, Dataset(cut, rows, {})),
            "log_dets": (
                problem.space.constrain_and_log_det(z, masks)[1],
                small.space.constrain_and_log_det(z_small, {})[1],
            ),
        }

    asarrays = [{k: jnp.asarray(v) for k, v in values.items()} for values in (arrays, cut)]
    return problem, jax.device_get(jax.jit(numbers)(z, *asarrays))


def test_masked_model_is_the_small_model(case):
    _, numbers = case
    (value, gradient), (small_value, small_gradient) = numbers["masked"], numbers["small"]
    assert_allclose(value, small_value, rtol=1e-5, atol=1e-4)
    assert_array_equal(gradient[~numbers["mask"]], 0.0)
    assert_allclose(gradient[numbers["mask"]], small_gradient, rtol=1e-3, atol=1e-3)


def test_log_det_counts_kept_entries_only(case):
    _, numbers = case
    assert_allclose(*numbers["log_dets"], rtol=1e-5, atol=1e-5)


def test_two_plates_follow_their_own_arguments():
    model, shapes, _ = MODELS["two_plates"]
    envelope = Envelope((4, 16), {"outputs": (1, 7), "features": (2, 3)})
    problem = build_problem(model, _arrays(model, shapes), envelope, covariates="normal", check=False)
    assert {a.name: (a.shape, a.plates) for a in problem.arguments} == {
        "x": ((3,), ("features",)),
        "u": ((7,), ("outputs",)),
    }
    assert {s.name: (s.shape, s.plates) for s in problem.space.sites} == {
        "b": ((7,), ("outputs",)),
        "w": ((3, 7), ("features", "outputs")),
    }


def test_sites_outside_a_plate_see_masked_latents_when_simulated():
    """`total` is drawn around the sum of the kept weights alone; with all 4 its variance would be twice as large."""
    model, shapes, _ = MODELS["hierarchical"]
    problem = build_problem(
        model,
        _arrays(model, shapes),
        Envelope((4, 16), {"features": (1, CAPACITY)}),
        covariates="normal",
        check=False,
    )
    masks, rows = problem.plate_masks({"features": SIZE}), jnp.ones(4, bool)
    simulate = jax.jit(jax.vmap(lambda key: problem.simulate(key, rows, masks)[1]))
    latents = jax.vmap(problem.space.constrain)(simulate(random.split(random.key(3), 2000)))
    gap = np.asarray(latents["total"] - jnp.sum(latents["w"], axis=1))
    assert_array_equal(latents["w"][:, SIZE:], 0.0)
    # (n - 1) s^2 / 0.1^2 is chi-squared; one false alarm in 10^6
    assert stats.chi2(1999).ppf(5e-7) < 1999 * np.var(gap, ddof=1) / 0.01 < stats.chi2(1999).isf(5e-7)


def test_prior_draws_that_underflow_stay_finite():
    """Two in five draws of Gamma(0.01) are 0 in float32, and their logarithm is -inf."""

    def model(y):
        numpyro.sample("y", dist.Poisson(numpyro.sample("rate", dist.Gamma(0.01, 1.0))), obs=y)

    problem = build_problem(model, {"y": np.array([0, 1])}, check=False)
    draw = jax.jit(jax.vmap(lambda key: problem.sample_prior(key, {}, 2)))
    z = np.asarray(draw(random.split(random.key(0), 500)))
    assert np.all(np.isfinite(z)) and 0.2 < np.mean(z < -86.0) < 0.6


def test_masked_coordinates_are_drawn_as_exact_zeros():
    """The masked simplexes and intervals as well, whose bijectors return to 0 only nearly."""
    model, shapes, _ = MODELS["varying_scales"]
    envelope = Envelope((4, 16), {"sensors": (1, CAPACITY)})
    problem = build_problem(model, _arrays(model, shapes), envelope, check=False)
    masks = problem.plate_masks({"sensors": SIZE})
    z = jax.jit(lambda key: problem.sample_prior(key, {}, NUM_ROWS, masks))(random.key(0))
    assert_array_equal(z != 0.0, problem.space.mask(masks))


def test_evidence_with_a_bijector_in_the_way():
    """Integrating over z = log(sigma) equals integrating over sigma: what a missing log-det would break."""

    def model(y):
        numpyro.sample("y", dist.Normal(0.0, numpyro.sample("sigma", dist.HalfNormal(1.0))), obs=y)

    y = np.array([0.3, -1.2, 0.8])
    problem = build_problem(model, {"y": y}, check=False)
    dataset = Dataset({"y": jnp.asarray(y, jnp.float32)}, jnp.ones(3, bool), {})
    grid = np.linspace(-6.0, 3.0, 3001)
    values = jax.jit(jax.vmap(lambda z: problem.log_joint(z, dataset)))(jnp.asarray(grid[:, None], jnp.float32))
    evidence = np.trapezoid(np.exp(np.asarray(values, np.float64)), grid)
    expected, _ = integrate.quad(lambda s: stats.halfnorm.pdf(s) * np.prod(stats.norm.pdf(y, 0, s)), 0, 20)
    assert_allclose(evidence, expected, rtol=1e-4)


def test_rows_the_likelihood_cannot_produce():
    def model(y, n):
        rate = numpyro.sample("rate", dist.Beta(1.0, 1.0))
        numpyro.sample("y", dist.Binomial(n, rate), obs=y)

    problem = build_problem(model, {"y": np.array([0, 1]), "n": np.array([3, 3])}, check=False)
    values = {"y": jnp.array([4, 2, 3, -1, 9]), "n": jnp.array([3, 3, 3, 3, 3])}
    dataset = Dataset(values, jnp.array([True, True, True, True, False]), {})
    assert_array_equal(jax.jit(problem.unsupported_rows)(dataset)["y"], [True, False, False, True, False])


def test_support_that_follows_a_latent_is_left_to_the_likelihood():
    def model(y):
        numpyro.sample("y", dist.Uniform(0.0, numpyro.sample("theta", dist.HalfNormal(5.0))), obs=y)

    problem = build_problem(model, {"y": np.array([0.5, 9.0])}, check=False)
    dataset = Dataset({"y": jnp.array([0.5, 9.0])}, jnp.ones(2, bool), {})
    assert jax.jit(problem.unsupported_rows)(dataset) == {}
    below, above = jax.jit(jax.vmap(lambda z: problem.log_joint(z, dataset)))(jnp.log(jnp.array([[8.0], [10.0]])))
    assert below == -jnp.inf and jnp.isfinite(above)


def test_rounding_is_not_taken_for_a_leak():
    """Weights of 10^4 beside noise of 0.01: masked and small models differ by what float32 cannot resolve."""

    def model(x, y):
        with numpyro.plate("features", x.shape[1]):
            w = numpyro.sample("w", dist.Normal(0.0, 1e4))
        numpyro.sample("y", dist.Normal(x @ w, 0.01), obs=y)

    example = {"x": np.ones((3, 10)), "y": np.ones(3)}
    build_problem(model, example, Envelope((16, 64), {"features": (5, 10)}), covariates="normal")
