"""The built-in models: their closed forms, their options and what the library knows about each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from numpy.testing import assert_allclose
from numpyro import handlers
from scipy import stats

from posterity.model.builtin import MODELS
from posterity.model.intake import pad_dataset
from posterity.runtime.errors import InputError
from posterity.simulation.builtin import builtin_simulator
from posterity.simulation.envelope import Envelope

RNG = np.random.default_rng(6)


def log_joint(model, dataset, latents):
    """Log joint at latents given in their supports, where the bijectors are identities."""
    z = model.space.unconstrain({k: jnp.asarray(v, jnp.float32) for k, v in latents.items()})
    return float(jax.jit(model.log_joint)(z, pad_dataset(model, dataset, 8)))


# --------------------------------------------------------------------------------------- closed forms


def test_gaussian_mean_has_its_closed_form():
    x, mu = RNG.normal(1.0, 1.0, (5, 2)), np.array([0.3, -1.1])
    expected = stats.norm.logpdf(mu, 0, 2.0).sum() + stats.norm.logpdf(x, mu, 0.5).sum()
    model = MODELS["gaussian_mean"].read(2, prior_sd=2.0, noise_sd=0.5)
    assert_allclose(log_joint(model, {"x": x}, {"mu": mu}), expected, rtol=1e-5)


def test_linear_regression_known_noise_has_its_closed_form():
    x, y, w, b = RNG.normal(size=(6, 3)), RNG.normal(size=6), np.array([0.5, -1.0, 2.0]), 0.7
    expected = stats.norm.logpdf([*w, b], 0, 1.5).sum() + stats.norm.logpdf(y, x @ w + b, 0.5).sum()
    model = MODELS["linear_regression_known_noise"].read(3, prior_sd=1.5)
    assert_allclose(log_joint(model, {"x": x, "y": y}, {"w": w, "b": b}), expected, rtol=1e-5)


def test_linear_regression_has_its_closed_form():
    """With the log-det of sigma = exp(z), which is log sigma."""
    x, y, w, b, sigma = RNG.normal(size=(6, 3)), RNG.normal(size=6), np.array([0.5, -1.0, 2.0]), 0.7, 0.4
    prior = stats.norm.logpdf([*w, b]).sum() + stats.halfnorm.logpdf(sigma) + np.log(sigma)
    expected = prior + stats.norm.logpdf(y, x @ w + b, sigma).sum()
    latents = {"w": w, "b": b, "sigma": sigma}
    assert_allclose(log_joint(MODELS["linear_regression"].read(3), {"x": x, "y": y}, latents), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "values"),
    [("logistic_regression", [0, 1, 1, 0, 1]), ("poisson_regression", [0, 3, 1, 7, 2])],
)
def test_generalised_linear_models_have_their_closed_forms(name, values):
    x, y, w, b = RNG.normal(size=(5, 2)), np.array(values), np.array([0.5, -1.0]), 0.3
    eta = x @ w + b
    likelihood = stats.bernoulli(1 / (1 + np.exp(-eta))) if "logistic" in name else stats.poisson(np.exp(eta))
    expected = stats.norm.logpdf([*w, b]).sum() + likelihood.logpmf(y).sum()
    assert_allclose(log_joint(MODELS[name].read(2), {"x": x, "y": y}, {"w": w, "b": b}), expected, rtol=1e-5)


def test_categorical_regression_has_its_closed_form():
    x, y = RNG.normal(size=(5, 2)), np.array([0, 2, 1, 1, 2])
    w, b = RNG.normal(size=(2, 3)), RNG.normal(size=3)
    eta = (x @ w + b) / 0.1
    log_probs = (
        eta - np.log(np.sum(np.exp(eta - eta.max(1, keepdims=True)), 1, keepdims=True)) - eta.max(1, keepdims=True)
    )
    expected = stats.norm.logpdf(w).sum() + stats.norm.logpdf(b).sum() + log_probs[np.arange(5), y].sum()
    model = MODELS["categorical_regression"].read(2, temperature=0.1)
    assert_allclose(log_joint(model, {"x": x, "y": y}, {"w": w, "b": b}), expected, rtol=1e-5)


def test_gaussian_mixture_has_its_closed_form():
    x, mu = RNG.normal(size=(5, 2)), np.array([[0.3, -1.1], [1.0, 1.0], [-2.0, 0.1]])
    by_component = stats.norm.logpdf(x[:, None], mu, 0.316).sum(-1)  # (row, component)
    expected = stats.norm.logpdf(mu).sum() + np.log(np.mean(np.exp(by_component), axis=1)).sum()
    model = MODELS["gaussian_mixture"].read(2, num_components=3, component_sd=0.316)
    assert_allclose(log_joint(model, {"x": x}, {"mu": mu}), expected, rtol=1e-5)


@pytest.mark.parametrize(("activation", "apply"), [("tanh", np.tanh), ("relu", lambda a: np.maximum(a, 0))])
def test_neural_networks_have_their_closed_forms(activation, apply):
    """Biases in the first layer only, as in the paper's code."""
    x = RNG.normal(size=(5, 2))
    sizes = {"w_in": (2, 3), "b": (3,), "w_1": (3, 3), "w_out": (3, 1)}
    latents = {name: RNG.normal(size=shape) for name, shape in sizes.items()}
    hidden = apply(apply(x @ latents["w_in"] + latents["b"]) @ latents["w_1"])
    prior = sum(stats.norm.logpdf(v).sum() for v in latents.values())
    y = RNG.normal(size=5)
    expected = prior + stats.norm.logpdf(y, (hidden @ latents["w_out"])[:, 0], 0.5).sum()
    options = {"hidden_size": 3, "num_layers": 2, "activation": activation}
    model = MODELS["neural_regression"].read(2, **options)
    assert_allclose(log_joint(model, {"x": x, "y": y}, latents), expected, rtol=1e-5)


def test_evidence_of_gaussian_mean_in_one_dimension():
    """The log joint integrates to N(x; 0, I + 11'), so that it is normalised in z and in x."""
    x = RNG.normal(0.8, 1.0, (4, 1))
    model = MODELS["gaussian_mean"].read(1)
    grid = np.linspace(-8.0, 8.0, 2001)
    padded = pad_dataset(model, {"x": x}, 8)
    values = jax.jit(jax.vmap(lambda z: model.log_joint(z, padded)))(jnp.asarray(grid[:, None], jnp.float32))
    evidence = np.log(np.trapezoid(np.exp(np.asarray(values, np.float64)), grid))
    expected = stats.multivariate_normal.logpdf(x[:, 0], np.zeros(4), np.eye(4) + np.ones((4, 4)))
    assert_allclose(evidence, expected, atol=1e-4)


# ------------------------------------------------------------------------------- simulation and names


@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_with_its_defaults(name):
    """With all checks, and with the covariate law that it will be trained with."""
    entry = MODELS[name]
    simulator = builtin_simulator(entry)
    model = simulator.model
    assert model.name == entry.name == name
    assert simulator.envelope == Envelope((16, 128), {entry.plate: entry.columns})
    assert simulator.covariate_law.name == ("normal" if entry.target is None else "table")
    assert [a.name for a in model.data] == [entry.target[0] if entry.target else entry.matrix]
    assert set(model.plate_axes) == {entry.plate}


KINDS = {
    "logistic_regression": ("binary", 0),
    "categorical_regression": ("class", 3),
    "poisson_regression": ("count", 0),
    "neural_classification": ("class", 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_kinds_of_data(name):
    (data,) = MODELS[name].read(2).data
    assert (data.kind, data.num_classes) == KINDS.get(name, ("real", 0))
    assert data.dtype == ("float32" if data.kind == "real" else "int32")


def test_poisson_counts_stay_within_32_bits():
    """The log rate is capped, so that neither draws nor densities overflow."""
    entry = MODELS["poisson_regression"]
    simulator = builtin_simulator(entry, columns=(1, 1), covariates="normal", check=False, prior_sd=100.0)
    model, masks = simulator.model, {"features": jnp.ones(1, bool)}
    simulate = jax.jit(jax.vmap(lambda key: simulator.simulate(key, jnp.ones(4, bool), masks)))
    datasets, z = simulate(random.split(random.key(0), 200))
    counts = np.asarray(datasets.values["y"])
    assert counts.min() >= 0 and counts.max() > 1e7
    assert np.all(np.isfinite(jax.jit(jax.vmap(model.log_joint))(z, datasets)))


# -------------------------------------------------------------------------------------------- options


OPTIONS = {
    "unknown": (
        "linear_regression",
        {"noise_sd": 1.0},
        "has no option 'noise_sd'; it has prior_sd=1.0, noise_prior_sd=1.0",
    ),
    "nearest": ("linear_regression", {"prior_sdd": 1.0}, "Did you mean 'prior_sd'"),
    "none": ("gaussian_mean", {"hidden_size": 3}, "has no option 'hidden_size'"),
    "str for float": ("linear_regression", {"prior_sd": "1"}, "option 'prior_sd' must be float; got '1'"),
    "float for int": ("neural_regression", {"hidden_size": 3.5}, "option 'hidden_size' must be int; got 3.5"),
    "bool for int": ("neural_regression", {"num_layers": True}, "option 'num_layers' must be int; got True"),
    "too few": (
        "neural_regression",
        {"hidden_size": 0},
        "option 'hidden_size' must be above 0 and finite; got 0",
    ),
    "negative": (
        "linear_regression",
        {"prior_sd": -1.0},
        "option 'prior_sd' must be above 0 and finite; got -1.0",
    ),
    "nan": (
        "linear_regression",
        {"prior_sd": float("nan")},
        "option 'prior_sd' must be above 0 and finite; got nan",
    ),
}


@pytest.mark.parametrize(("name", "options", "pattern"), OPTIONS.values(), ids=OPTIONS)
def test_options_are_checked(name, options, pattern):
    with pytest.raises(InputError, match=pattern):
        MODELS[name].with_options(options)


def test_unknown_activation():
    with pytest.raises(InputError, match=r"unknown activation 'gelu'\. Known: 'relu', 'tanh'"):
        MODELS["neural_regression"].read(1, activation="gelu")


def test_options_reach_the_model():
    assert MODELS["linear_regression"].with_options({}) is MODELS["linear_regression"].model
    assert MODELS["linear_regression"].with_options({"prior_sd": 2}).keywords == {"prior_sd": 2}
    sizes = {s.name: s.shape for s in MODELS["neural_classification"].read(2, num_classes=5, hidden_size=4).space.sites}
    assert sizes == {"b": (4,), "w_in": (2, 4), "w_out": (4, 5)}


@pytest.mark.parametrize(
    ("name", "rows", "columns", "expected"),
    [
        ("gaussian_mixture", (8, 9), (3, 3), Envelope((8, 9), {"dims": (3, 3)})),
        ("gaussian_mean", None, (1, 3), Envelope((16, 128), {"dims": (1, 3)})),
    ],
)
def test_envelopes(name, rows, columns, expected):
    assert builtin_simulator(MODELS[name], rows, columns, check=False).envelope == expected


@pytest.mark.parametrize("name", MODELS)
def test_each_is_a_plain_numpyro_model(name):
    """It runs under NumPyro's own handlers, and simulates its target where that is left out."""
    entry = MODELS[name]
    example = entry.example(2)
    if entry.target is not None:
        del example[entry.target[0]]

    def run(arguments):
        trace = handlers.trace(handlers.seed(entry.model, 0)).get_trace(**arguments)
        return trace[entry.target[0] if entry.target else entry.matrix]["value"]

    assert jax.eval_shape(run, example).shape[0] == 5


def test_datasets_of_another_size_than_trained_are_still_right():
    """A plate with one size in the envelope is checked to mask, since smaller datasets are answered as well."""
    model = builtin_simulator(MODELS["linear_regression"], (16, 32), (3, 3)).model
    x, y = RNG.normal(size=(5, 2)), RNG.normal(size=5)
    small = MODELS["linear_regression"].read(2)
    z = jnp.asarray(RNG.normal(size=5), jnp.float32)
    wide = jnp.asarray([z[0], z[1], 9.0, z[2], z[3]])
    evaluate = jax.jit(lambda a, b: (model.log_joint(wide, a), small.log_joint(z[:4], b)))
    dataset = {"x": x, "y": y}
    assert_allclose(*evaluate(pad_dataset(model, dataset, 8), pad_dataset(small, dataset, 8)), rtol=1e-5)
