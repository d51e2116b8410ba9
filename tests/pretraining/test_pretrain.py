"""Training of the row network: it lowers the variance of the weights, and a stopped run goes on to the bit."""

import json
import signal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from numpy.testing import assert_array_equal

from posterity.informed_posterior.anchor.anchor import find_anchor
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.read.terms import Terms
from posterity.training import TrainingConfig
from pretraining import pretrain as module

TINY = ((10, 3, 4), (16, 3, 2))


def weights(network):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))])


@pytest.mark.slow
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZES", TINY)
    config = TrainingConfig(steps=8, chunk_steps=2, warmup_steps=1)
    whole, record = module.pretrain(config, tmp_path / "whole")
    assert record["num_params"] == weights(whole).size

    saved = module.RunFolder.save

    def stop_after_four(self, step, state, notes):
        saved(self, step, state, notes)
        if step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.RunFolder, "save", stop_after_four)
    eager = TrainingConfig(steps=8, chunk_steps=2, warmup_steps=1, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        module.pretrain(eager, tmp_path / "parts")
    monkeypatch.setattr(module.RunFolder, "save", saved)
    parts, _ = module.pretrain(eager, tmp_path / "parts", resume=True)
    assert_array_equal(weights(parts), weights(whole))


@pytest.mark.slow
def test_an_interrupt_stops_after_the_chunk_and_gives_the_signal_back(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZES", TINY)
    before = signal.getsignal(signal.SIGINT)
    config = TrainingConfig(steps=8, chunk_steps=2, warmup_steps=1)
    logged = module.RunFolder.log

    def log_and_interrupt(self, event):
        logged(self, event)
        if event["step"] == 4:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(module.RunFolder, "log", log_and_interrupt)
    with pytest.raises(SystemExit) as stopped:
        module.pretrain(config, tmp_path)
    assert stopped.value.code == 130 and signal.getsignal(signal.SIGINT) is before
    module.pretrain(config, tmp_path, resume=True)
    assert signal.getsignal(signal.SIGINT) is before
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6, 8]


@pytest.mark.slow
def test_training_lowers_the_variance_of_the_weights(tmp_path, monkeypatch):
    """Mean loss over 200 fresh datasets; paired, so that a fall by a tenth is far beyond chance."""
    monkeypatch.setattr(module, "SIZES", ((24, 6, 16),))
    trained, _ = module.pretrain(TrainingConfig(steps=400, chunk_steps=50, warmup_steps=20), tmp_path / "run")
    keys = random.split(random.key(123), 200)

    @eqx.filter_jit
    def losses(network):
        return jax.vmap(lambda key: module.weight_variance_loss(network, key, 24, 6))(keys)

    before, after = losses(RowNetwork(key=random.key(0))), losses(trained)
    assert float(np.nanmean(after)) < 0.9 * float(np.nanmean(before))


def reverse(q, terms, truth, key):
    """KL(q || p) up to the evidence."""
    z, log_q = q.sample_and_log_prob(key, 8)
    return jnp.mean(log_q - jax.vmap(terms.log_joint)(z))


def forward(q, terms, truth, key):
    """KL(p || q) up to the entropy of p, one draw of the joint."""
    return -q.log_prob(truth)


def symmetric(q, terms, truth, key):
    return reverse(q, terms, truth, key) + forward(q, terms, truth, key)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [reverse, forward, symmetric])
def test_every_objective_trains_from_model_to_posterior(objective):
    """Through anchor, network, map and, for forward KL, the inverse map: 200 fresh datasets before and after, paired.

    Logistic regressions with normal priors, where truths are draws of the joint.
    """

    def loss(network, key):
        key_x, key_z, key_y, key_draws = random.split(key, 4)
        x, truth = random.normal(key_x, (12, 4)), random.normal(key_z, (4,))
        y = random.bernoulli(key_y, jax.nn.sigmoid(x @ truth)).astype(jnp.float32)
        terms = Terms(
            design=x, offset=jnp.zeros(12), active=jnp.ones(12, bool), is_prior=jnp.zeros(12, bool),
            log_density=lambda eta: y * eta - jax.nn.softplus(eta), precision=jnp.eye(4), linear=jnp.zeros(4),
            constant=jnp.zeros(()), mask=jnp.ones(4, bool),
        )  # fmt: skip
        anchor = jax.lax.stop_gradient(find_anchor(terms))
        return objective(AnchoredPosterior.around(anchor, network(terms, anchor)), terms, truth, key_draws)

    def mean_loss(network, keys):
        return jnp.mean(jax.vmap(lambda key: loss(network, key))(keys))

    optimizer = optax.adam(3e-3)

    @eqx.filter_jit
    def train(network):
        def step(carry, key):
            weights, state = carry
            gradient = jax.grad(lambda w: mean_loss(eqx.combine(w, static), random.split(key, 32)))(weights)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(weights, updates), state), None

        weights, static = eqx.partition(network, eqx.is_inexact_array)
        (weights, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), random.split(random.key(1), 150))
        return eqx.combine(weights, static)

    network = RowNetwork(16, 4, key=random.key(0))
    fresh = random.split(random.key(2), 200)
    rate = eqx.filter_jit(mean_loss)
    before, after = float(rate(network, fresh)), float(rate(train(network), fresh))
    assert after < before
