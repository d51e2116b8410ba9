"""The open questions: lists of jobs, equal sizes, what a permuted dataset and two known modes must give, mixtures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random, vmap
from numpy.testing import assert_allclose
from study_modules import study

import posterity
from posterity.encoders import GRU, DeepSets
from posterity.network import build_network
from posterity.objectives import ReverseKL
from posterity.posteriors import DiagonalGaussian

questions, presets, datasets = study("questions"), study("presets"), study("datasets")
gru_vs_deep_sets, shared, prior, cost = (
    study(f"questions.{name}") for name in ("gru_vs_deep_sets", "shared", "prior", "cost")
)
mixtures, two_modes, networks = study("questions.mixtures"), study("questions.two_modes"), study("networks")
SETTINGS = study("tasks").SETTINGS


# --- jobs


@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_every_question_is_asked_with_every_seed_and_no_job_twice(preset):
    jobs = list(questions.jobs(preset))
    assert len({job.name for job in jobs}) == len(jobs)
    assert {job.part for job in jobs} == {"question"}
    for seed in presets.PRESETS[preset].seeds:
        asked = {job.method.split("/")[0] for job in jobs if job.seed == seed}
        assert asked == set(questions.QUESTIONS) - ({"cost"} if seed else set())


def test_smoke_asks_one_small_question():
    (job,) = questions.jobs("smoke")
    assert job.method.split("/")[0] in questions.QUESTIONS


def test_the_page_knows_every_question():
    assert set(study("page.questions").QUESTIONS) == set(questions.QUESTIONS)


# --- GRU and DeepSets


@pytest.mark.parametrize("preset", ["laptop", "paper"])
@pytest.mark.parametrize("shortcuts", ["shortcuts", "bare"])
def test_encoders_have_equally_many_weights(preset, shortcuts):
    def size(name):
        make = lambda key: gru_vs_deep_sets.make_encoder(name, shortcuts, preset, 3, key)  # noqa: E731
        return gru_vs_deep_sets.encoder_size(eqx.filter_eval_shape(make, random.key(0)))

    assert abs(size("gru") / size("deep_sets") - 1.0) <= 0.02


@pytest.mark.parametrize("name", ["deep_sets", "gru"])
def test_a_bare_encoder_sees_no_shortcut(name, rng_key):
    inner = DeepSets(3, width=4, key=rng_key) if name == "deep_sets" else GRU(3, width=4, depth=1, key=rng_key)
    encoder = gru_vs_deep_sets.Bare(inner)
    rows, mask = random.normal(rng_key, (6, 3)), jnp.ones(6, bool)
    gradient = eqx.filter_grad(lambda encoder: jnp.sum(encoder(rows, mask)))(encoder).inner.project.weight
    used = np.asarray(jnp.any(gradient != 0.0, axis=0))
    assert used[encoder.kept].any() and not used[~encoder.kept].any()
    assert encoder.kept.sum() == encoder.inner.lift.linear.out_features
    assert_allclose(encoder(rows, mask), encoder(jnp.pad(rows, ((0, 2), (0, 0))), jnp.arange(8) < 6), rtol=1e-5)


# --- order of rows


def answering(encoder, rng_key, **options):
    """An untrained network whose answers depend on the data, and two datasets."""
    setting = SETTINGS["lr_2d"]
    problem = setting.problem()
    architecture = networks.architecture("smoke", encoder, "diagonal", **options)
    network = build_network(problem, architecture, rng_key=rng_key)
    network = eqx.tree_at(lambda n: n.family, network, mixtures.nudged(network.family, rng_key, 1.0))
    test = datasets.make_test_set(problem, setting.tasks[0], 2)
    return posterity.Estimator(problem, network, architecture, {}), test


@pytest.mark.parametrize(
    ("encoder", "options", "sees"),
    [
        ("deep_sets", {}, False),
        ("transformer", {"positions": False}, False),
        ("transformer", {"positions": True}, True),
    ],
)
def test_order_moves_the_answer_of_those_who_see_it(encoder, options, sees, rng_key):
    found = shared.order_sensitivity(*answering(encoder, rng_key, **options), num_draws=64)
    if sees:
        assert found["order_kl"]["mean"] > 1e-4 and found["order_shift"]["mean"] > 1e-3
    else:
        assert abs(found["order_kl"]["mean"]) < 1e-5 and found["order_shift"]["mean"] < 1e-3


def test_another_order_keeps_the_rows_and_the_padding(rng_key):
    mask = jnp.arange(8) < 5
    rows = jnp.where(mask, jnp.arange(1.0, 9.0), 0.0)
    moved = shared.in_another_order(posterity.dataset.Dataset({"y": rows}, mask, {}), rng_key).values["y"]
    assert sorted(np.asarray(moved[:5])) == [1, 2, 3, 4, 5]
    assert not moved[5:].any() and (moved[:5] != rows[:5]).any()


# --- priors


@pytest.mark.parametrize("name", ["lr_2d_sd_0.1", "lr_2d_sd_10"])
def test_closed_form_follows_the_prior(name):
    exact, setting = study("exact"), prior.PRIORS[name]
    test = datasets.make_test_set(setting.problem(), setting.tasks[0], 2)
    draws = exact.exact_draws(test, 6, seed=1)
    log_p = vmap(exact.exact_log_prob)(draws, *exact.exact_moments(test))
    log_joint = jax.jit(vmap(lambda z, d: vmap(lambda each: test.problem.log_joint(each, d))(z)))(draws, test.datasets)
    assert np.ptp(np.asarray(log_joint - log_p), axis=1).max() < 2e-2


# --- two modes


def test_shares_of_modes_by_hand():
    truth = np.array([[0.0, 0.0, 4.0, 0.0]])
    there, swapped, between = truth[0], truth[0][[2, 3, 0, 1]], np.array([2.0, 0.1, 2.0, -0.1])
    both_on_one = np.array([0.1, 0.0, 0.1, 0.0])
    z = np.stack([there, there + 0.5, there - 0.5, swapped, between, both_on_one])[None]
    assert_allclose(two_modes.mode_shares(z, truth), [[3 / 6, 1 / 6]])


def test_certain_posterior_is_the_posterior():
    """Bayes' rule gives the same evidence at any draw; and a draw in either labelling has the same log joint."""
    setting = two_modes.SETTING
    test = datasets.make_test_set(setting.problem(), setting.tasks[0], 3)
    few, evidence = two_modes.certain_posterior(test, 2)
    draws, again = two_modes.certain_posterior(test, 20)
    assert_allclose(evidence, again, atol=0.05)  # of about 10,000 nats, in float32
    assert np.ptp(few[1:, 0] - draws[1:, 0]) > 0.01  # draws that differ
    assert_allclose(two_modes.mode_shares(draws, np.asarray(test.z)), 0.5)
    joint = jax.jit(vmap(test.problem.log_joint))
    swapped = draws[:, 0][:, list(two_modes.swapped_labels())]
    assert_allclose(joint(draws[:, 0], test.datasets), joint(swapped, test.datasets), rtol=1e-5)


@pytest.fixture
def gaussians():
    everywhere = jnp.ones(2, bool)
    first = DiagonalGaussian(jnp.array([-1.0, 2.0]), jnp.array([0.5, 0.8]), everywhere)
    return first, DiagonalGaussian(jnp.array([0.5, -1.0]), jnp.array([1.0, 0.4]), everywhere)


@pytest.mark.parametrize("kind", ["swapped", "pair"])
def test_mixtures_integrate_to_one_and_match_the_closed_form(kind, gaussians):
    first, second = gaussians
    q = mixtures.Swapped(first, (1, 0)) if kind == "swapped" else mixtures.Pair(first, second)
    other = DiagonalGaussian(first.loc[::-1], first.scale[::-1], first.mask) if kind == "swapped" else second
    axis = jnp.linspace(-7.0, 7.0, 281)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = jnp.exp(vmap(q.log_prob)(grid))
    assert_allclose(jnp.sum(density) * (axis[1] - axis[0]) ** 2, 1.0, rtol=1e-3)
    by_hand = 0.5 * (jnp.exp(vmap(first.log_prob)(grid)) + jnp.exp(vmap(other.log_prob)(grid)))
    assert_allclose(density, by_hand, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("kind", ["swapped", "pair"])
def test_draws_of_mixtures_have_their_mean_and_density(kind, gaussians, rng_key):
    """The band is five standard errors: one false alarm in a million or so."""
    first, second = gaussians
    q = mixtures.Swapped(first, (1, 0)) if kind == "swapped" else mixtures.Pair(first, second)
    other = first.loc[::-1] if kind == "swapped" else second.loc
    z, log_q = q.sample_and_log_prob(rng_key, 4000)
    assert_allclose(log_q, vmap(q.log_prob)(z), rtol=1e-5)
    error = np.std(np.asarray(z), axis=0) / np.sqrt(len(z))
    assert (np.abs(np.mean(np.asarray(z), axis=0) - 0.5 * (first.loc + other)) < 5 * error).all()


def test_tempering_begins_at_the_prior_and_ends_at_reverse_kl(rng_key):
    setting = SETTINGS["gmm_2d_2cl"]
    test = datasets.make_test_set(setting.problem(), setting.tasks[0], 1)
    dataset = jax.tree.map(lambda leaf: leaf[0], test.datasets)
    q = DiagonalGaussian(jnp.zeros(4), jnp.ones(4), jnp.ones(4, bool))  # the prior

    def loss(objective, progress):
        return objective.loss(test.problem, q, dataset, None, progress=jnp.asarray(progress), rng_key=rng_key)

    tempered = mixtures.Tempered(num_samples=3)
    assert_allclose(loss(tempered, 0.0), 0.0, atol=1e-5)
    assert_allclose(loss(tempered, 0.6), loss(ReverseKL(num_samples=3), 0.6), rtol=1e-6)
    assert 0.0 < loss(tempered, 0.25) < loss(tempered, 0.5)


# --- cost


@pytest.mark.parametrize(
    ("usable", "network", "datasets"), [(1.0, 0.5, 200.0), (0.75, 0.5, 400.0), (0.25, 0.5, np.inf), (0.0, 0.0, np.inf)]
)
def test_training_pays_off_where_usable_answers_save_more_than_they_cost(usable, network, datasets):
    assert cost.pays_off_after(train=100.0, network=network, usable=usable, nuts=1.0) == datasets
