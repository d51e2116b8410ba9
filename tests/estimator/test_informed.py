"""The informed estimator at the doors: models by name, models of one's own, tables, and ill-posed data."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import posterity
from posterity.informed_posterior.bend import store
from posterity.informed_posterior.bend.store import SHIPPED, check_network, read_network, trained_for, write_network
from posterity.informed_posterior.read.structure import NotInformedError, read_structure
from posterity.model.builtin import MODELS
from posterity.runtime.errors import InputError


def probit(x, y=None):
    """A link that no built-in model has."""
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(probs=jax.scipy.special.ndtr(x @ w)), obs=y)


def probit_table(num_rows=30):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 2))
    return {"x": x, "y": (x @ [1.0, -1.0] + rng.normal(size=num_rows) > 0).astype(int)}


@pytest.fixture(scope="module")
def logistic():
    return posterity.informed("logistic_regression", columns=3, check=False)


@pytest.fixture(scope="module")
def linear():
    return posterity.informed("linear_regression", columns=3, check=False)


READ = {name for name in MODELS if "regression" in name or "gaussian_mean" in name} - {
    "categorical_regression", "neural_regression",
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_what_is_called_informed_has_one_bump(name):
    """Structured models, and softmax regression, whose log joint is concave."""
    model = MODELS[name].read(MODELS[name].columns[1])
    try:
        structured = bool(read_structure(model))
    except NotInformedError as error:
        assert name in str(error)
        structured = False
    assert structured == (name in READ)
    assert MODELS[name].informed == (structured or name == "categorical_regression")


@pytest.fixture(scope="module")
def of_probit():
    return posterity.infer(probit, probit_table())


def test_a_model_never_seen_is_answered_without_training(of_probit):
    assert of_probit.verdict == "corrected", of_probit.reasons
    assert of_probit.ess > 900.0  # of 1000
    mean = of_probit["w"].mean(axis=0)
    assert mean[0] > 0.3 and mean[1] < -0.3


def test_a_table_and_its_arrays_give_the_same_posterior(of_probit):
    """The command's road and the library's: the same seed, the same draws."""
    data = probit_table()
    frame = pl.DataFrame({"a": data["x"][:, 0], "b": data["x"][:, 1], "y": data["y"]})
    table = posterity.infer(probit, frame, target="y")
    assert table.labels["w"] == ("w[a]", "w[b]")
    assert_array_equal(table["w"], of_probit["w"])


def test_linear_regression_matches_its_conjugate_posterior_given_the_noise(linear):
    """At 4000 nearly independent draws the standard error of a mean is 0.016 sd; 5 of them is 1 false alarm in 10^6."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 3))
    y = x @ [0.5, -0.2, 0.0] + 0.3 * rng.normal(size=40)
    posterior = linear.infer({"x": x, "y": y}, num_draws=4000)
    assert posterior.verdict == "corrected"
    weights = np.exp(posterior.weights.log_weights)
    design = np.column_stack([x, np.ones(40)])
    sigmas = np.exp(np.linspace(-2.5, 0.0, 400))
    log_p, means, variances = [], [], []
    for sigma in sigmas:
        precision = np.eye(4) + design.T @ design / sigma**2
        mean = np.linalg.solve(precision, design.T @ y) / sigma**2
        residual = y @ y / sigma**2 - mean @ precision @ mean
        log_p.append(-40 * np.log(sigma) - 0.5 * residual - 0.5 * np.linalg.slogdet(precision)[1] - sigma**2 / 2)
        means.append(mean)
        variances.append(np.diag(np.linalg.inv(precision)))
    p = np.exp(np.array(log_p) - max(log_p)) * sigmas  # the grid is even in log sigma
    p /= p.sum()
    exact = p @ np.array(means)
    sd = np.sqrt(p @ (np.array(variances) + np.array(means) ** 2) - exact**2)
    found = np.column_stack([posterior.proposed["w"], posterior.proposed["b"]])
    assert np.all(np.abs(weights @ found - exact) / sd < 0.08)
    mean_sigma = p @ sigmas
    assert abs(weights @ posterior.proposed["sigma"] - mean_sigma) < 0.08 * np.sqrt(p @ sigmas**2 - mean_sigma**2)


def _ill_posed():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, 2))
    yield "separable", {"x": x, "y": (x[:, 0] > 0).astype(int)}
    yield "one class", {"x": x, "y": np.zeros(20, int)}
    yield "duplicated columns", {"x": x[:, [0, 0, 0]], "y": (x[:, 1] > 0).astype(int)}
    yield "collinear and huge", {"x": 1e4 * x[:, [0, 0]] + x, "y": (x[:, 1] > 0).astype(int)}
    yield "one row", {"x": x[:1], "y": np.ones(1, int)}
    yield "fewer rows than columns", {"x": rng.normal(size=(2, 3)), "y": np.array([0, 1])}


@pytest.mark.parametrize(("case", "data"), [*_ill_posed()], ids=[name for name, _ in _ill_posed()])
def test_ill_posed_classes_give_finite_draws_or_reasons(logistic, case, data):
    posterior = logistic.infer(data, refine_seconds=0.0, num_draws=500)
    assert all(np.isfinite(draws).all() for draws in posterior.draws.values()), case
    assert (posterior.verdict == "corrected") == (case != "collinear and huge"), posterior.reasons
    assert (posterior.verdict == "corrected") == (not posterior.reasons)


def _ill_posed_targets():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 2))
    yield "constant target", {"x": x, "y": np.zeros(20)}
    yield "outlier", {"x": x, "y": np.where(np.arange(20) == 7, 1e6, x[:, 0])}
    yield "huge", {"x": x, "y": 1e8 * x[:, 0]}
    yield "exact", {"x": x, "y": x[:, 0] - 0.5}
    yield "one row", {"x": x[:1], "y": np.ones(1)}
    yield "duplicated columns", {"x": x[:, [0, 0, 0]], "y": x[:, 1]}


@pytest.mark.parametrize(("case", "data"), [*_ill_posed_targets()], ids=[name for name, _ in _ill_posed_targets()])
def test_ill_posed_targets_give_finite_draws_or_reasons(linear, case, data):
    posterior = linear.infer(data, refine_seconds=0.0, num_draws=500)
    assert all(np.isfinite(draws).all() for draws in posterior.draws.values()), case
    # Where the noise can vanish, the posterior has no end towards sigma = 0.
    assert (posterior.verdict == "corrected") == (case in ("one row", "duplicated columns", "huge")), posterior.reasons
    assert (posterior.verdict == "corrected") == (not posterior.reasons)


def test_noise_of_targets_far_beyond_their_prior(linear):
    """Against the closed form over sigma; q and the weights are in 64 bits here. 5 standard errors of 400 draws."""
    data = dict(_ill_posed_targets())["huge"]
    x, y = data["x"], data["y"]
    posterior = linear.infer(data, refine_seconds=0.0)
    left, values, _ = np.linalg.svd(np.column_stack([x, np.ones(20)]), full_matrices=False)
    along = left.T @ y
    log_sigma = np.linspace(np.log(2.26e4), np.log(2.27e4), 20_001)
    spread = np.exp(2.0 * log_sigma)[:, None] + values**2
    squares = (y @ y - along @ along) * np.exp(-2.0 * log_sigma) + np.sum(along**2 / spread, axis=1)
    log_p = log_sigma - 17.0 * log_sigma - 0.5 * (np.sum(np.log(spread), axis=1) + squares + np.exp(2.0 * log_sigma))
    p = np.exp(log_p - log_p.max())
    mean = p @ np.exp(log_sigma) / p.sum()
    sd = np.sqrt(p @ (np.exp(log_sigma) - mean) ** 2 / p.sum())
    assert abs(posterior["sigma"].mean() - mean) < 0.25 * sd
    assert posterior["sigma"].std() == pytest.approx(sd, rel=0.18)


@pytest.mark.parametrize(
    "counts", [np.full(20, 10**7), np.zeros(20, int), np.arange(20) ** 4], ids=["huge", "zero", "wide"]
)
def test_extreme_counts_are_corrected(counts):
    x = np.random.default_rng(4).normal(size=(20, 2))
    posterior = posterity.infer("poisson_regression", {"x": x, "y": counts}, num_draws=500, refine_seconds=0.0)
    assert all(np.isfinite(draws).all() for draws in posterior.draws.values())
    assert posterior.verdict == "corrected" and not posterior.reasons


def test_padding_and_masked_columns_change_nothing(logistic):
    """The same data at 2 of 3 columns; float32 sums differ in their order."""
    data = probit_table()
    exact = posterity.informed("logistic_regression", columns=2, check=False).infer(data, num_draws=500).proposal
    z = exact.sample(jax.random.key(0), 5)
    points = jnp.concatenate([z["w"], z["b"][:, None]], axis=1)
    wide = jnp.insert(points, 2, 0.0, axis=1)
    expected = jax.jit(jax.vmap(exact.log_prob))(points)
    padded = logistic.infer(data, num_draws=500).proposal
    assert_allclose(jax.jit(jax.vmap(padded.log_prob))(wide), expected, atol=2e-3)


def test_what_cannot_be_an_informed_estimator_is_refused_with_the_cure():
    with pytest.raises(InputError, match="needs one dataset that shows its arguments"):
        posterity.informed(probit)
    with pytest.raises(InputError, match="unknown model 'logistic'"):
        posterity.informed("logistic")
    with pytest.raises(InputError, match="unknown latent site 'sigm'"):
        posterity.informed("linear_regression", columns=3, scales=["sigm"], check=False)
    with pytest.raises(InputError, match="'prior_sd' is for built-in models"):
        posterity.informed(probit, probit_table(), prior_sd=2.0)
    with pytest.raises(InputError, match="'columns' is for built-in models"):
        posterity.informed(probit, probit_table(), columns=3)


def test_options_that_would_be_ignored_are_refused(logistic):
    data = {"x": np.zeros((4, 2)), "y": np.array([0, 1, 0, 1])}
    with pytest.raises(InputError, match="option 'prior_sd' belongs to a built-in model"):
        posterity.infer(logistic, data, options={"prior_sd": 2.0})
    with pytest.raises(InputError, match="'logistic_regression' is a model already"):
        posterity.infer("logistic_regression", data, trained_model=probit)
    with pytest.raises(InputError, match="'target' says how to read a table"):
        posterity.infer("logistic_regression", data, target="y")


def test_arrays_wider_than_usual_are_answered():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 12))
    posterior = posterity.infer("logistic_regression", {"x": x, "y": np.arange(50) % 2})
    assert posterior.draws["w"].shape == (1000, 12)
    assert posterior.verdict == "corrected", posterior.reasons


def test_an_informed_estimator_is_not_saved(logistic, tmp_path):
    with pytest.raises(InputError, match="was not trained"):
        logistic.save(tmp_path / "x.estimator")
    assert not any(tmp_path.iterdir())


def test_data_beyond_the_training_of_the_row_network_are_named(logistic, linear):
    (reason,) = logistic.network.outside(1100, {"features": 2})
    assert "1100 rows are more than the 1024" in reason
    assert logistic.network.outside(1024, {"features": 2}) == ()
    assert linear.network.outside(1100, {"features": 2}) == ()  # Gaussian given the noise: nothing to bend


def test_the_reach_of_the_row_network_is_that_of_its_record(tmp_path, monkeypatch):
    head = json.loads((SHIPPED / "network.json").read_text())
    rows, latents, _ = zip(*head["record"]["sizes"], strict=True)
    assert trained_for() == {"rows": max(rows), "latents": max(latents)}
    head["record"]["sizes"] = [[16, 9, 4], [40, 3, 2]]
    (tmp_path / "network.json").write_text(json.dumps(head))
    monkeypatch.setattr(store, "SHIPPED", tmp_path)
    assert trained_for.__wrapped__() == {"rows": 40, "latents": 9}


def test_what_ships_gives_its_golden_densities_and_fits_in_little_space(tmp_path):
    check_network(SHIPPED)
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 2_000_000
    network = read_network(SHIPPED)
    write_network(
        tmp_path / "copy", jax.tree.map(lambda leaf: 1.5 * leaf if hasattr(leaf, "dtype") else leaf, network), {}
    )
    check_network(tmp_path / "copy")
    (tmp_path / "copy" / "golden.safetensors").write_bytes((SHIPPED / "golden.safetensors").read_bytes())
    with pytest.raises(InputError, match="golden densities"):
        check_network(tmp_path / "copy")
    (tmp_path / "copy" / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        read_network(tmp_path / "copy")
    with pytest.raises(InputError, match="no row network"):
        read_network(tmp_path)
