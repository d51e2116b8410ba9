"""The study of the paper: metrics against closed forms, jobs and runner, and the smoke preset from end to end."""

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import vmap
from study_modules import study

jobs, runner, settings, tasks = study("jobs"), study("runner"), study("settings"), study("tasks")
SETTINGS = tasks.SETTINGS
pytestmark = pytest.mark.bench


def test_set(task_name, number=4, stream=None):
    setting = tasks.setting_of(task_name)
    task = next(t for t in setting.tasks if t.name == task_name)
    return study("datasets").make_test_set(setting.simulator(), task, number, stream)


test_set.__test__ = False


@pytest.mark.parametrize("task", ["gm_2d", "lr_1d", "lr_variable_2d"])
def test_closed_form_differs_from_the_log_joint_by_the_evidence_alone(task):
    exact, test = study("metrics.exact"), test_set(task)
    mean, precision = exact.exact_moments(test)
    draws = exact.exact_draws(test, 8, seed=3)
    log_p = vmap(exact.exact_log_prob)(draws[..., test.active], mean, precision)
    log_joint = jax.jit(vmap(lambda z, d: vmap(lambda each: test.model.log_joint(each, d))(z)))
    gaps = np.asarray(log_joint(draws, test.datasets) - log_p)
    assert np.ptp(gaps, axis=1).max() < 2e-2


def test_numbers_of_rows_cover_the_range_and_repeat():
    first, second = test_set("gm_2d", 60), test_set("gm_2d", 60)
    rows = np.asarray(first.datasets.num_obs)
    low, high = settings.ROWS
    assert rows.min() >= low and rows.max() <= high and rows.std() > 10
    np.testing.assert_array_equal(first.datasets.values["x"], second.datasets.values["x"])
    assert first.held_out.row_mask.all()


def test_truth_predicts_with_the_loss_of_the_noise():
    """Of 40 datasets of 128 rows; the band is five standard errors of the mean squared noise."""
    measures = study("metrics.measures")
    for task, variance, dims in (("lr_2d", 0.25, 1), ("gm_2d", 1.0, 2)):
        test = test_set(task, 40)
        draws = np.asarray(test.z)[:, None]
        found = measures.predictive(test, draws, "loss")["loss"]["mean"]
        assert abs(found - variance * dims) < 5 * variance * np.sqrt(2 * dims / (40 * 128))


def test_mixture_scores_the_nearest_mean_in_any_order():
    test, measures = test_set("gmm_2d_2cl", 4), study("metrics.measures")
    z = np.asarray(test.z)[:, None]
    swapped = z.reshape(4, 1, 2, 2)[:, :, ::-1].reshape(4, 1, 4)
    first, second = (measures.predictive(test, draws, "loss")["loss"]["mean"] for draws in (z, swapped))
    assert first == pytest.approx(second, rel=1e-5)
    assert first < 2 * 0.1  # two dimensions of variance 0.1, less what the nearer mean saves


def test_accuracy_of_certain_classifiers():
    test, measures = test_set("lc_2d", 6), study("metrics.measures")
    z = np.asarray(test.z)[:, None]
    right = measures.predictive(test, 100 * z, "accuracy")["accuracy"]["mean"]
    wrong = measures.predictive(test, -100 * z, "accuracy")["accuracy"]["mean"]
    assert right + wrong == pytest.approx(100.0)
    assert right > 90.0  # the truth errs only where a logit over 0.1 is small


def test_a_logistic_regression_scores_as_its_softmax_regression():
    """The same predictions through Bernoulli and through two classes, row by row."""
    predictive, informed = study("metrics.predictive"), study("methods.informed")
    setting = SETTINGS["lc_2d"]
    test, logistic = test_set("lc_2d", 1), informed.estimator_of(setting, setting.tasks[0]).model
    z = np.random.default_rng(5).normal(size=(1, 1, 3)).astype(np.float32)
    whole = informed.to_classes(z, 2, np.random.default_rng(6)).astype(np.float32)
    held_out = jax.tree.map(lambda leaf: leaf[0], test.held_out)
    masks = logistic.plate_masks({"features": 2})
    one = predictive.predict_rows(logistic, jnp.asarray(z[0, 0]), dataclasses.replace(held_out, plate_masks=masks))
    other = predictive.predict_rows(test.model, jnp.asarray(whole[0, 0]), held_out)
    np.testing.assert_array_equal(one.score, other.score)
    np.testing.assert_allclose(one.prediction, other.prediction, atol=1e-4)
    assert 0.0 < one.score.mean() < 1.0


def test_symmetric_kl_is_zero_for_the_posterior_and_known_for_a_shift():
    exact, measures, test = study("metrics.exact"), study("metrics.measures"), test_set("gm_2d")
    mean, precision = exact.exact_moments(test)
    draws, other = exact.exact_draws(test, 400, 1), exact.exact_draws(test, 400, 2)
    log_p = np.asarray(vmap(exact.exact_log_prob)(draws, mean, precision))
    log_p_other = np.asarray(vmap(exact.exact_log_prob)(other, mean, precision))
    same = measures.symmetric_kl(test, draws, log_p, other, log_p_other)["symmetric_kl_per_latent"]["mean"]
    assert same == pytest.approx(0.0, abs=1e-5)
    shift = 0.3
    log_q = np.asarray(vmap(exact.exact_log_prob)(draws, mean, precision))  # of q = p shifted, at its own draws
    at = np.asarray(vmap(exact.exact_log_prob)(other - shift, mean, precision))
    found = measures.symmetric_kl(test, draws + shift, log_q, other, at)["symmetric_kl_per_latent"]["mean"]
    # KL of a shift d under precision t is t d^2 / 2 per latent, either way.
    expected = float(np.mean(np.asarray(precision)[:, 0, 0])) * shift**2 / 2
    assert found == pytest.approx(expected, rel=0.1)  # 1600 draws of a linear term: 4% of it at one sd


def test_w2_of_a_shift_is_the_shift():
    test, measures = test_set("gm_2d", 2), study("metrics.measures")
    reference = np.random.default_rng(0).normal(size=(2, 200, 2)).astype(np.float32)
    moved = reference[:, :100] + np.array([3.0, 4.0], np.float32)
    found = measures.w2(test, moved, reference, 2, 100)
    assert found["w2"]["mean"] == pytest.approx(5.0, rel=1e-5)
    assert 0.0 < found["w2_floor"]["mean"] < 0.6


def test_calibration_tells_a_narrow_posterior():
    exact, measures, test = study("metrics.exact"), study("metrics.measures"), test_set("gm_2d", 100)
    draws = exact.exact_draws(test, 200, 4)
    fine = measures.calibration(test, draws)
    centre = draws.mean(axis=1, keepdims=True)
    narrow = measures.calibration(test, centre + 0.3 * (draws - centre))
    assert fine["sbc_p"]["mean"] > 1e-3  # false alarm 1 in 1000; the datasets are fixed
    assert narrow["sbc_p"]["mean"] < 1e-6 and narrow["coverage_90"]["mean"] < 0.6


def test_two_classes_are_one_logistic_regression():
    """Log likelihoods through `difference` agree with softmax regression's own."""
    informed = study("methods.informed")
    setting, task = SETTINGS["lc_2d"], SETTINGS["lc_2d"].tasks[0]
    test = test_set("lc_2d", 1)
    logistic = informed.estimator_of(setting, task).model
    z = np.random.default_rng(1).normal(size=(1, 5, 3)).astype(np.float32)
    whole = informed.to_classes(z, 2, np.random.default_rng(2)).astype(np.float32)
    dataset = jax.tree.map(lambda leaf: leaf[0], test.datasets)
    ours = vmap(lambda each: test.model.log_likelihood(each, dataset))(jnp.asarray(whole[0]))
    masks = logistic.plate_masks({"features": 2})
    theirs = vmap(lambda each: logistic.log_likelihood(each, dataclasses.replace(dataset, plate_masks=masks)))
    np.testing.assert_allclose(ours, theirs(jnp.asarray(z[0])), atol=1e-3)
    prior = np.random.default_rng(3).normal(size=(1, 4000, 3))
    back = informed.to_classes(prior, 2, np.random.default_rng(4))[0]
    np.testing.assert_allclose(np.cov(back.T), np.eye(6), atol=0.12)  # 5 standard errors of 4000 draws


def test_gaussian_process_has_its_kernel():
    process = study("misspecification").GaussianProcess()
    simulator = SETTINGS["lr_1d"].simulator()
    masks = simulator.model.plate_masks(simulator.model.capacity)
    keys = jax.random.split(jax.random.key(0), 300)
    found = jax.jit(vmap(lambda key: process.draw(simulator, key, jnp.ones(32, bool), masks)[0].values))(keys)
    x, y = np.asarray(found["x"])[..., 0], np.asarray(found["y"])
    gap = np.abs(x[:, 0] - x[:, 1])
    near, far = gap < 0.2, gap > 2.5
    assert np.mean((y[near, 0] - y[near, 1]) ** 2) < 0.1  # 2 (1 - k) is at most 0.08 there
    assert abs(np.var(y) - 1.0) < 0.25 and np.corrcoef(y[far, 0], y[far, 1])[0, 1] < 0.6


@pytest.mark.parametrize(("lengthscale", "loss", "fits"), [(1.0, 0.24, True), (0.693, 0.37, False)])
def test_the_paper_s_loss_on_gaussian_processes_tells_the_lengthscale(lengthscale, loss, fits):
    """Expected L2 of LR's exact posterior, for which Table 23 has 0.266; a standard error here is 0.015 at most."""
    process = study("misspecification").GaussianProcess(lengthscale=lengthscale)
    simulator = SETTINGS["lr_1d"].simulator()
    masks = simulator.model.plate_masks(simulator.model.capacity)
    keys = jax.random.split(jax.random.key(1), 400)
    drawn = jax.jit(vmap(lambda key: process.draw(simulator, key, jnp.ones(224, bool), masks)[0].values))(keys)
    losses = []
    for x, y in zip(np.asarray(drawn["x"])[..., 0], np.asarray(drawn["y"]), strict=True):
        design = np.column_stack([x, np.ones_like(x)])
        precision = np.eye(2) + design[:96].T @ design[:96] / 0.25
        mean = np.linalg.solve(precision, design[:96].T @ y[:96] / 0.25)
        spread = np.einsum("ij,jk,ik->i", design[96:], np.linalg.inv(precision), design[96:])
        losses.append(np.mean((y[96:] - design[96:] @ mean) ** 2 + spread))
    found = np.mean(losses)
    assert abs(found - loss) < 0.05
    assert (abs(found - 0.266) < 0.05) == fits


def test_folds_are_scaled_by_their_training_rows():
    tabular, tables = study("tabular"), study("tables")
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, size=(50, 4))
    table = tables.Table("made up", x, x @ np.ones(4) + 7.0, is_class=False, in_paper=False)
    found = list(tables.folds(table))
    assert len(found) == 5 and sum(len(fold.y_new) for fold in found) == 50
    for fold in found:
        np.testing.assert_allclose(fold.x.std(axis=0), 1.0)
        assert fold.y.std() == pytest.approx(2.0) and fold.y.mean() == pytest.approx(0.0, abs=1e-9)  # sqrt(4)
    assert tabular.mean_score(table, tabular.ridge) < 0.01
    assert tabular.mean_score(table, tabular.predict_mean) == pytest.approx(4.0, rel=0.3)


def test_tables_of_openml_are_added_by_name(monkeypatch):
    """Without the network: the fetch is replaced by a frame as scikit-learn gives it."""
    import pandas as pd
    import sklearn.datasets

    x = pd.DataFrame({"size": [1.0, 2.0, 3.0], "kind": pd.Categorical(["b", "a", "b"]), "flat": [4, 4, 4]})
    y = pd.Series(pd.Categorical(["no", "yes", "yes"]))
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda name, **_: (x, y))
    monkeypatch.setenv("POSTERITY_OPENML", "shops")
    found = next(table for table in study("tables").tables() if table.name == "shops")
    assert found.is_class and not found.in_paper
    np.testing.assert_array_equal(found.x, [[1, 1], [2, 0], [3, 1]])  # the constant column is left out
    np.testing.assert_array_equal(found.y, [0, 1, 1])
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda name, **_: (x.assign(size=np.nan), y))
    with pytest.raises(ValueError, match="missing values"):
        list(study("tables").tables())


@pytest.mark.skipif(importlib.util.find_spec("ot") is None, reason="POT is not installed")
@pytest.mark.parametrize("name", [job.name for job in jobs.jobs("smoke")])
def test_smoke_preset(name, tmp_path, monkeypatch):
    monkeypatch.setattr(study("metrics.reference"), "SCRATCH", tmp_path)
    (job,) = [job for job in jobs.jobs("smoke") if job.name == name]
    _, rows, _, error = runner.attempt("smoke", job)
    assert error is None, error
    assert rows and all(row["job"] == name and row["preset"] == "smoke" for row in rows)
    for row in rows:
        score = row["metrics"].get("loss") or row["metrics"]["accuracy"]
        assert np.isfinite(score["mean"])


def test_a_neural_network_has_references_of_the_first_datasets_alone(tmp_path, monkeypatch):
    references, baselines = study("metrics.reference"), study("baselines")
    sizes = dataclasses.replace(study("presets").PRESETS["smoke"], w2_datasets=2, w2_draws=4, neural_references=2)
    monkeypatch.setitem(study("presets").PRESETS, "smoke", sizes)
    monkeypatch.setattr(references, "SCRATCH", tmp_path)
    sampled = []

    def chains(test, sampler, *, num_draws, num_chains, **others):
        sampled.append(test.z)
        draws = np.repeat(np.asarray(test.z)[:, None], num_draws * num_chains, axis=1)
        return study("methods.chains").ChainDraws(draws, np.ones(len(draws)), 1.0, 0.5)

    monkeypatch.setattr(references, "run_chains", chains)
    setting, test = SETTINGS["nlr_1d"], test_set("nlr_1d", 5)
    row = baselines.baseline_row("nuts", test, setting, setting.tasks[0], "smoke")
    np.testing.assert_array_equal(sampled, test.z[None, :2])
    assert row["num_datasets"] == 2
    # Draws that are all the truth predict with the loss of the noise, whose variance is 0.25, and no wider than it.
    assert row["metrics"]["loss"]["mean"] == pytest.approx(0.25, abs=0.05)
    assert row["metrics"]["w2"]["mean"] == 0.0
    assert baselines.baseline_row("prior", test, setting, setting.tasks[0], "smoke")["num_datasets"] == 5
