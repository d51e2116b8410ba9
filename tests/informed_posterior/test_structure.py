"""Predictors and scale latents are read off a model, and what was read is the model."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from informed_posterior.cases import NUM_COLUMNS, STRUCTURES, draw, model_of, probe, soil
from jax import random
from numpy.testing import assert_allclose, assert_array_equal

from posterity.informed_posterior.read.structure import (
    NotInformedError,
    Structure,
    check_rows_apart,
    check_scales,
    conditional_terms,
    read_structure,
)
from posterity.model.builtin import MODELS
from posterity.model.dataset import stack_datasets
from posterity.model.read import read_model

NAMED_BY_HAND = {"non_centred": ("tau",)}  # the spread multiplies other latents, so it cannot be told from them
NUM_ROWS, NUM_PADDED, FEWER_COLUMNS = 6, 3, 2
NUM_POINTS = 3


def structure_of(name: str) -> Structure:
    return read_structure(model_of(name), NAMED_BY_HAND.get(name))


@pytest.fixture(scope="module", params=STRUCTURES)
def case(request):
    """The log joint of a model and of its terms, whole and with masked features and padded rows, in one program."""
    model, structure = model_of(request.param), structure_of(request.param)
    clean = draw(model, random.key(1), NUM_ROWS + NUM_PADDED)[0]
    dirty = soil(model, draw(model, random.key(2), NUM_ROWS, FEWER_COLUMNS)[0], NUM_PADDED)
    zs = 0.8 * random.normal(random.key(3), (2 * NUM_POINTS, model.space.size))

    @jax.jit
    def numbers(datasets, zs):
        def both(given):
            dataset, z = given
            mask = model.space.mask(dataset.plate_masks)
            z = jnp.where(mask, z, 0.0)
            terms = conditional_terms(model, structure, jax.lax.stop_gradient(z), dataset)
            # The scale's own place in z is masked in the terms: 0 there, whatever it is.
            inner = jax.value_and_grad(lambda v: terms.log_joint(jnp.where(terms.mask, v, 0.0)))(z)
            outer = jax.value_and_grad(lambda v: model.log_joint(v, dataset))(z)
            slopes, curvatures = terms.slopes_and_curvatures(terms.predictor(z))
            return {
                "mask": mask, "terms": inner, "model": outer, "read": terms, "slopes": slopes, "curvatures": curvatures
            }  # fmt: skip

        return jax.lax.map(both, (datasets, zs))

    found = jax.device_get(numbers(stack_datasets([clean] * NUM_POINTS + [dirty] * NUM_POINTS), zs))
    halves = {"clean": slice(NUM_POINTS), "dirty": slice(NUM_POINTS, None)}
    return model, structure, {name: jax.tree.map(lambda a, h=half: a[h], found) for name, half in halves.items()}


@pytest.mark.parametrize("dataset", ["clean", "dirty"])
def test_terms_are_the_log_joint(case, dataset):
    """Float32 sums of some ten terms of a few hundred nats at most."""
    _, _, numbers = case
    (value, gradient), (expected, expected_gradient) = numbers[dataset]["terms"], numbers[dataset]["model"]
    rest = numbers[dataset]["read"].mask
    assert_allclose(value, expected, rtol=2e-5, atol=1e-4)
    assert_allclose(np.where(rest, gradient, 0.0), np.where(rest, expected_gradient, 0.0), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("dataset", ["clean", "dirty"])
def test_masks_of_the_terms(case, dataset):
    model, structure, numbers = case
    numbers = numbers[dataset]
    terms, is_scale = numbers["read"], np.zeros(model.space.size, bool)
    for name in structure.scale_sites:
        is_scale[model.space.coordinates(name)] = True
    rest = numbers["mask"][0] & ~is_scale
    assert_array_equal(terms.mask, np.broadcast_to(rest, terms.mask.shape))
    assert_array_equal(terms.design[:, :, ~rest], 0.0)
    assert_array_equal(terms.linear[:, ~rest], 0.0)
    eye = np.broadcast_to(np.eye(rest.size)[~rest], (NUM_POINTS, np.sum(~rest), rest.size))
    assert_array_equal(terms.precision[:, ~rest], eye)
    for name in ("design", "offset", "precision", "linear", "constant"):
        assert np.isfinite(getattr(terms, name)).all(), name


def test_padded_rows_and_masked_latents_count_nothing(case):
    model, structure, numbers = case
    terms = numbers["dirty"]["read"]
    for name in ("slopes", "curvatures"):
        assert_array_equal(numbers["dirty"][name][~terms.active], 0.0)
    data = ~terms.is_prior[0]
    if structure.is_gaussian:
        assert data.size == 0
    else:
        assert_array_equal(terms.active[0][data], np.arange(NUM_ROWS + NUM_PADDED) < NUM_ROWS)
    num_masked = np.sum(~numbers["dirty"]["mask"][0])
    assert np.sum(~terms.active[0][~data]) == (num_masked if model.name == "negative_binomial" else 0)


def test_quadratic_form_changes_with_the_scale_only(case):
    """It is the prior's alone where the likelihood is not Gaussian and no prior is scaled."""
    _, structure, numbers = case
    precision = numbers["clean"]["read"].precision
    assert np.all(precision == precision[:1]) == (not structure.scale_sites or not structure.is_gaussian)


@pytest.mark.parametrize("name", STRUCTURES)
def test_scales_are_found(name):
    assert structure_of(name) == Structure(*STRUCTURES[name])


def test_prior_terms_are_those_of_priors_that_are_not_normal(case):
    """Latents whose prior is a term of its own have none in the quadratic form."""
    model, _, numbers = case
    terms = numbers["clean"]["read"]
    num_prior = NUM_COLUMNS if model.name == "negative_binomial" else 0
    assert_array_equal(terms.is_prior[0], np.arange(terms.is_prior[0].size) < num_prior)
    if num_prior:
        # The dispersion is given, the weights have Laplace priors, the intercept a normal one.
        assert_array_equal(np.diagonal(terms.precision[0]), [1.0, 0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gaussian_mixture", "scale latent 'mu' of 'gaussian_mixture' lies in a plate that varies in size"),
        ("neural_regression", "latents ('b', 'w_in') enter 'neural_regression' otherwise"),
        ("categorical_regression", "('b', 'w') enter 'categorical_regression' otherwise"),
    ],
)
def test_other_structures_are_refused(name, told):
    with pytest.raises(NotInformedError, match=re.escape(told)):
        read_structure(MODELS[name].read(MODELS[name].columns[1]))


def paired(distance):
    def model(x, y=None):
        rate = jnp.exp(x @ numpyro.sample("w", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0)))
        numpyro.sample("y", dist.Normal(rate + jnp.roll(rate, distance), 1.0), obs=y)

    return model


def not_a_number(x, y=None):
    """What a row says of the others is inf * 0."""
    eta = x @ numpyro.sample("w", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0))
    numpyro.sample("y", dist.Normal(eta + jnp.sqrt(0.0 * jnp.sum(eta**2)), 1.0), obs=y)


@pytest.mark.parametrize("function", [paired(1), paired(2), paired(4), paired(5), not_a_number])
def test_rows_that_lean_on_one_another_are_refused(function):
    model = user_model(function)
    with pytest.raises(NotInformedError, match="depends on other rows' predictors"):
        check_rows_apart(model, read_structure(model), probe(model))


@pytest.mark.parametrize(
    "name", ["probit", "negative_binomial", "student", "linear_regression", "centred", "non_centred"]
)
def test_rows_that_stand_alone_pass(name):
    """Of every kind: with and without a scale, a plate of rows, terms of the prior, terms at all."""
    check_rows_apart(model_of(name), structure_of(name), probe(model_of(name)))


def user_model(function):
    return read_model(function, {"x": np.zeros((7, NUM_COLUMNS), np.float32), "y": np.zeros(7, np.float32)})


def two_scales(x, y=None):
    w = numpyro.sample("w", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0))
    nu = numpyro.sample("nu", dist.Gamma(2.0, 0.1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.StudentT(nu, x @ w, sigma), obs=y)


def random_slopes(x, y=None):
    """Correlated, centred; rows belong to three groups by their place."""
    sds = numpyro.sample("sds", dist.HalfNormal(jnp.ones(2)).to_event(1))
    factor = numpyro.sample("factor", dist.LKJCholesky(2, 2.0))
    mean = numpyro.sample("mean", dist.Normal(jnp.zeros(2), 1.0))
    with numpyro.plate("groups", 3):
        u = numpyro.sample("u", dist.MultivariateNormal(mean, scale_tril=sds[:, None] * factor))
    group = jnp.arange(x.shape[0]) % 3
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(u[group, 0] + u[group, 1] * x[:, 0], sigma), obs=y)


def ordered_scores(x, y=None):
    w = numpyro.sample("w", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0))
    ordered = dist.TransformedDistribution(
        dist.Normal(jnp.zeros(3), 2.0).to_event(1), dist.transforms.OrderedTransform()
    )
    numpyro.sample("y", dist.OrderedLogistic(x @ w, numpyro.sample("cutpoints", ordered)), obs=y)


def only_a_scale(x, y=None):
    numpyro.sample("y", dist.Normal(jnp.sum(x, axis=1), numpyro.sample("sigma", dist.HalfNormal(1.0))), obs=y)


def products(x, y=None):
    """Each factor multiplies a vector; one number is less to give than two."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    w = numpyro.sample("w", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0))
    b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 1.0))
    v = numpyro.sample("v", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0))
    numpyro.sample("y", dist.Normal(a * (x @ w) + jnp.sum(b) * (x @ v), 1.0), obs=y)


@pytest.mark.parametrize(
    ("function", "scales", "is_gaussian"),
    [
        (two_scales, ("nu", "sigma"), False),
        (random_slopes, ("sds", "factor", "sigma"), True),
        (ordered_scores, ("cutpoints",), False),
        (only_a_scale, ("sigma",), True),
        (products, ("a", "b"), True),
    ],
)
def test_scales_of_users_models_are_found(function, scales, is_gaussian):
    dtype = np.int32 if function is ordered_scores else np.float32
    model = read_model(function, {"x": np.zeros((7, NUM_COLUMNS), np.float32), "y": np.zeros(7, dtype)})
    assert read_structure(model) == Structure(scales, is_gaussian)


def test_a_scale_that_multiplies_latents_is_found():
    """Non-centred groups need none be named."""
    assert read_structure(model_of("non_centred")) == Structure(("tau",), False, False)


def local_scales(x, y=None):
    shrinkage = numpyro.sample("shrinkage", dist.HalfCauchy(jnp.ones(9)).to_event(1))
    w = numpyro.sample("w", dist.Normal(jnp.zeros(9), 1.0))
    numpyro.sample("y", dist.Normal(x @ jnp.reshape(shrinkage * w, (3, 3))[:, 0], 1.0), obs=y)


def test_many_scales_are_refused():
    with pytest.raises(NotInformedError, match=r"9 latents \('shrinkage'\) enter 'local_scales'.* can condition on 8"):
        read_structure(read_model(local_scales, {"x": np.zeros((7, 3), np.float32), "y": np.zeros(7, np.float32)}))


def signed_loading(x, y=None):
    """Its sign and those of the weights may change together."""
    loading = numpyro.sample("loading", dist.Normal(0.0, 1.0))
    w = numpyro.sample("w", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0))
    numpyro.sample("y", dist.Normal(loading * (x @ w), 1.0), obs=y)


def two_means(x, y=None):
    means = numpyro.sample("means", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    both = dist.MixtureSameFamily(dist.Categorical(probs=jnp.full(2, 0.5)), dist.Normal(means, 1.0))
    numpyro.sample("y", both.expand([x.shape[0]]), obs=y)


@pytest.mark.parametrize("function", [signed_loading, two_means])
def test_scales_whose_peak_has_a_twin_are_refused(function):
    model = user_model(function)
    with pytest.raises(NotInformedError, match="is the same where its latents change places or signs"):
        check_scales(model, read_structure(model), probe(model))
    for other in (two_scales, random_slopes):
        check_scales(user_model(other), read_structure(user_model(other)), probe(user_model(other)))


def test_naming_too_few_scales_is_refused():
    with pytest.raises(NotInformedError, match="each entry of site 'y' of 'linear_regression' must depend"):
        read_structure(model_of("linear_regression"), ())


def test_naming_a_latent_that_is_no_scale():
    """The rest is read given it, whatever it is."""
    assert read_structure(model_of("logistic_regression"), ("b",)) == Structure(("b",), False)
