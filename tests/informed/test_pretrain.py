"""Training of the row network: it lowers the variance of the weights, and a stopped run goes on to the bit."""

import equinox as eqx
import jax
import numpy as np
import pytest
from jax import random
from numpy.testing import assert_array_equal

from posterity.informed import pretrain as module
from posterity.informed.network import RowNetwork
from posterity.training import TrainingConfig

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
