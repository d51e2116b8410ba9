"""The open questions: lists of jobs, equal sizes, what a permuted dataset and two known modes must give, mixtures."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random, vmap
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from study_modules import study

from posterity.amortized.encoders import GRU, DeepSets, Transformer
from posterity.amortized.families import DiagonalGaussian
from posterity.amortized.objectives import ReverseKL
from posterity.model.dataset import Dataset

questions, presets, datasets = study("questions"), study("presets"), study("datasets")
gru_vs_deep_sets, shared, prior, cost = (
    study(f"questions.{name}") for name in ("gru_vs_deep_sets", "shared", "prior", "cost")
)
mixtures, two_modes = study("questions.mixtures"), study("questions.two_modes")
SETTINGS = study("tasks").SETTINGS
pytestmark = pytest.mark.bench


def filled(make):
    """A module whose weights are cosines: compiling random ones would take longer than the tests themselves."""

    def fill(leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return jnp.asarray(np.cos(np.arange(1.0, leaf.size + 1.0, dtype=np.float32)).reshape(leaf.shape))

    return jax.tree.map(fill, eqx.filter_eval_shape(make, random.key(0)))


# --- GRU and DeepSets


@pytest.mark.parametrize("preset", ["laptop", "paper"])
@pytest.mark.parametrize("shortcuts", ["shortcuts", "bare"])
def test_encoders_have_equally_many_weights(preset, shortcuts):
    def size(name):
        make = lambda key: gru_vs_deep_sets.make_encoder(name, shortcuts, preset, 3, key)  # noqa: E731
        return gru_vs_deep_sets.encoder_size(eqx.filter_eval_shape(make, random.key(0)))

    assert abs(size("gru") / size("deep_sets") - 1.0) <= 0.02


@pytest.mark.parametrize("encoder_class", [DeepSets, GRU])
def test_a_bare_encoder_sees_no_shortcut(encoder_class):
    encoder = gru_vs_deep_sets.Bare(filled(lambda key: encoder_class(3, width=4, depth=1, embedding_size=2, key=key)))
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
    of_rows = eqx.filter_jit(eqx.filter_grad(lambda encoder: jnp.sum(encoder(rows, jnp.ones(6, bool)))))
    used = np.any(np.asarray(of_rows(encoder).inner.project.weight) != 0.0, axis=0)
    assert used[encoder.kept].any() and not used[~encoder.kept].any()
    assert encoder.kept.sum() == 4


# --- order of rows


class OfTwoNumbers(eqx.Module):
    """A network cut down to its encoder: the first two numbers of the embedding are the means of q."""

    encoder: eqx.Module

    def __call__(self, dataset, mask):
        rows = jnp.stack([dataset.values["x"], dataset.values["y"]], axis=1)
        return DiagonalGaussian(self.encoder(rows, dataset.row_mask)[:2], jnp.full(2, 0.05), mask)


@pytest.mark.parametrize("encoder", ["deep_sets", "positions"])
def test_order_moves_the_answer_of_those_who_see_it(encoder):
    values = np.random.default_rng(0).normal(size=(2, 2, 16))
    mask = jnp.asarray(np.broadcast_to(np.arange(16) < 12, (2, 16)))
    rows = Dataset({name: jnp.asarray(v, jnp.float32) for name, v in zip("xy", values, strict=True)}, mask, {})
    test = datasets.TestSet(None, rows, rows, jnp.zeros((2, 2)), jnp.ones(2, bool))

    def make(key):
        if encoder == "deep_sets":
            return DeepSets(2, width=4, embedding_size=2, key=key)
        return Transformer(2, width=4, depth=1, num_heads=1, embedding_size=2, positions=True, key=key)

    estimator = SimpleNamespace(network=OfTwoNumbers(filled(make)))
    found = shared.order_sensitivity(estimator, test, num_draws=32)
    if encoder == "positions":
        assert found["order_kl"]["mean"] > 1e-4 and found["order_shift"]["mean"] > 1e-2
    else:
        assert abs(found["order_kl"]["mean"]) < 1e-5 and found["order_shift"]["mean"] < 1e-3


def test_another_order_keeps_the_rows_and_the_padding(rng_key):
    mask = jnp.arange(8) < 5
    rows = jnp.where(mask, jnp.arange(1.0, 9.0), 0.0)
    moved = shared.in_another_order(Dataset({"y": rows}, mask, {}), rng_key).values["y"]
    assert sorted(np.asarray(moved[:5])) == [1, 2, 3, 4, 5]
    assert not moved[5:].any() and (moved[:5] != rows[:5]).any()


# --- priors


def test_closed_form_follows_the_prior():
    model = prior.PRIORS["lr_2d_sd_0.1"].simulator().model
    x = np.random.default_rng(0).normal(size=(1, 5, 2)).astype(np.float32)
    values = {"x": jnp.asarray(x), "y": jnp.asarray(x[..., 0])}
    rows = Dataset(values, jnp.ones((1, 5), bool), {"features": jnp.ones((1, 2), bool)})
    test = datasets.TestSet(model, rows, rows, jnp.zeros((1, 3)), jnp.ones(3, bool))
    mean, precision = study("metrics.exact").exact_moments(test)
    design = np.concatenate([x[0], np.ones((5, 1))], axis=1)
    by_hand = 100.0 * np.eye(3) + design.T @ design / 0.25
    assert_allclose(precision[0], by_hand, rtol=1e-5)
    assert_allclose(mean[0], np.linalg.solve(by_hand, design.T @ x[0, :, 0] / 0.25), rtol=1e-4, atol=1e-6)


# --- two modes


def test_certain_posterior_has_the_evidence_of_its_partition():
    r"""$p(D) = 2 \cdot 2^{-n} \prod_k \int p(x_k | \mu) p(\mu) d\mu$: a component's rows are a Gaussian vector."""
    rng = np.random.default_rng(0)
    z, label = rng.normal(size=(2, 2, 60)), rng.integers(2, size=(2, 24))
    x = np.take_along_axis(z, label[..., None], axis=1) + 0.1**0.5 * rng.normal(size=(2, 24, 60))
    rows = Dataset({"x": jnp.asarray(x, jnp.float32)}, jnp.asarray(np.arange(24) < [[20], [24]]),
                   {"dims": jnp.ones((2, x.shape[2]), bool)})  # fmt: skip
    model, z = two_modes.SETTING.simulator().model, jnp.asarray(z.reshape(2, 120), jnp.float32)
    test = datasets.TestSet(model, rows, rows, z, jnp.ones(120, bool))
    draws, evidence = two_modes.certain_posterior(test, 20)
    assert_allclose(two_modes.mode_shares(draws, np.asarray(test.z)), 0.5)
    for i in range(2):
        x = np.asarray(test.datasets.values["x"][i], float)[np.asarray(test.datasets.row_mask[i])]
        centres = np.asarray(test.z[i]).reshape(2, -1)
        nearest = np.argmin(np.linalg.norm(x[:, None] - centres, axis=-1), axis=1)
        by_hand = (1 - len(x)) * np.log(2.0)
        for k in range(2):
            rows = x[nearest == k]
            law = multivariate_normal(np.zeros(len(rows)), 0.1 * np.eye(len(rows)) + 1.0)
            by_hand += law.logpdf(rows.T).sum()
            spread = draws[i, k::2].reshape(-1, 2, 60)[:, 0] - rows.mean(axis=0)
            assert spread.std() == pytest.approx((0.1 / len(rows)) ** 0.5, rel=0.15)
        assert evidence[i] == pytest.approx(by_hand, abs=0.1)  # of some thousand nats, in float32


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
    model = SETTINGS["gmm_2d_2cl"].simulator().model
    dataset = Dataset({"x": random.normal(rng_key, (9, 2))}, jnp.arange(9) < 7, {"dims": jnp.ones(2, bool)})
    q = DiagonalGaussian(jnp.zeros(4), jnp.ones(4), jnp.ones(4, bool))  # the prior

    @jax.jit
    def losses(progress):
        def loss(objective):
            return objective.loss(model, q, dataset, None, progress=progress, rng_key=rng_key)

        return loss(mixtures.Tempered(num_samples=3)), loss(ReverseKL(num_samples=3))

    assert_allclose(losses(jnp.asarray(0.0))[0], 0.0, atol=1e-5)
    assert_allclose(*losses(jnp.asarray(0.6)), rtol=1e-6)
    half, whole = losses(jnp.asarray(0.25))
    assert_allclose(half, 0.5 * whole, rtol=1e-5)  # log q and log prior cancel, so the likelihood is all there is
