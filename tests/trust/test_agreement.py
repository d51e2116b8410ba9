"""The log joint is computed twice: a program that computes wrongly is noticed, one that rounds is not."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import lax, random, vmap
from scipy import stats

import posterity
from posterity.estimator.estimator import Estimator
from posterity.inference import draw, run
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.read.structure import Structure
from posterity.model.dataset import stack_places
from posterity.model.intake import pad_dataset
from posterity.model.read import read_model
from posterity.trust.agreement import (
    NUM_LOOKED_AT,
    disagreement,
    log_joint_again,
    runs_with_64_bits,
    worth_a_look,
)
from posterity.trust.target import Target

TOLD = "computed twice came out differently"
DATASET = {"y": np.array([0.5, -1.0, 2.0])}


def normal_mean(y):
    z = numpyro.sample("z", dist.Normal(jnp.zeros(4), 1.0))
    numpyro.sample("y", dist.Normal(jnp.sum(z), 1.0), obs=y)


# Programs are compiled once for each model: those that a test breaks need a model of their own.
def miscompiled(y=None):
    normal_mean(y)


def right(y=None):
    normal_mean(y)


def climbed_wrongly(y=None):
    normal_mean(y)


class Narrow(InformedNetwork):
    """A q so narrow that its weights serve nothing."""

    def posteriors(self, datasets, *, by_themselves=True):
        def one(_):
            straight = RowMap.straight(jnp.ones(4, bool))
            return AnchoredPosterior(jnp.zeros(4), 5.0 * jnp.eye(4), 0.2 * jnp.eye(4), straight)

        return vmap(one)(jnp.asarray(datasets.row_mask))


def narrow(function):
    model = read_model(function, DATASET)
    return Estimator(model, Narrow(RowNetwork(8, 2, key=random.key(0)), model, Structure((), True)))


def one_round_only(monkeypatch):
    """Further rounds would correct the narrow q."""
    monkeypatch.setattr(run, "more_rounds", lambda first, pool, weights, *others: (pool, weights))


def test_a_miscompiled_log_joint_makes_no_trusted_answer(monkeypatch):
    """As the compiler does it: every density from the 513th draw on is off."""
    log_joints = draw.log_joints

    def wrong(model, z, dataset):
        values = log_joints(model, z, dataset)
        return jnp.where(jnp.arange(len(values)) < 512, values, values + 3.0)

    monkeypatch.setattr(draw, "log_joints", wrong)
    estimator = posterity.informed(miscompiled, DATASET, check=False)
    for posterior in (estimator.infer(DATASET), *estimator.infer_each([DATASET] * 2)):
        assert posterior.verdict == "untrusted"
        assert TOLD in posterior.reasons[0]
        assert posterior.refinement is None  # chains would climb the same wrong density


def test_a_right_log_joint_passes():
    assert posterity.informed(right, DATASET, check=False).infer(DATASET).verdict == "corrected"


def test_a_sampler_that_climbs_a_wrong_density_makes_no_trusted_answer(monkeypatch):
    """Chains that agree with each other on another posterior: half the log joint is a wider one."""
    monkeypatch.setattr(Target, "log_density", lambda self, z: 0.5 * self.model.log_joint(z, self.dataset))
    one_round_only(monkeypatch)
    posterior = narrow(climbed_wrongly).infer(DATASET, refine_seconds=60.0)
    assert posterior.refinement.problems == ()
    assert posterior.verdict == "untrusted" and posterior.refined is None
    assert TOLD in posterior.reasons[0]


def test_a_sampler_that_climbs_the_right_density_is_refined(monkeypatch):
    """The same q, from which the weights of one round lead nowhere."""
    one_round_only(monkeypatch)
    posterior = narrow(right).infer(DATASET, refine_seconds=60.0)
    assert posterior.verdict == "refined" and posterior.refined is not None
    assert not any(TOLD in reason for reason in posterior.reasons)
    assert any("Refined by" in reason for reason in posterior.reasons)


def test_every_draw_of_every_dataset_is_computed_again():
    """Against SciPy's densities. The size sums what the terms weigh by themselves."""
    model = read_model(right, DATASET)
    ys = [np.array([0.5, -1.0, 2.0]), np.array([4.0, 3.0])]
    z = np.random.default_rng(0).normal(size=(2, NUM_LOOKED_AT, 4)).astype(np.float32)
    again, size = log_joint_again(model, stack_places([pad_dataset(model, {"y": y}, 8) for y in ys]), z)
    for y, own, total, summed in zip(ys, z, again, size, strict=True):
        prior = stats.norm.logpdf(own).sum(axis=1)
        likelihood = stats.norm.logpdf(y, own.sum(axis=1)[:, None]).sum(axis=1)
        np.testing.assert_allclose(total, prior + likelihood, rtol=1e-5)
        np.testing.assert_allclose(summed, -prior - likelihood, rtol=1e-5)


def test_half_of_those_looked_at_are_spread_and_half_carry_the_weight():
    log_ratios = np.zeros(1000)
    log_ratios[[3, 700, 701, 702]] = [5.0, 9.0, 8.0, 7.0]
    assert worth_a_look(log_ratios).tolist() == [0, 333, 666, 999, 700, 701, 702, 3]


@pytest.mark.parametrize("num_draws", [1, 2, 5, 1000])
def test_as_many_draws_are_looked_at_whatever_their_number(num_draws):
    chosen = worth_a_look(np.full(num_draws, np.nan))
    assert len(chosen) == NUM_LOOKED_AT
    assert set(chosen) <= set(range(num_draws))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([-100.0, -np.inf], [-100.001, -np.inf], None),
        ([-1e6], [-1e6 + 5.0], None),  # rounding of a million nats
        ([-100.0, np.nan], [-100.0, np.nan], None),
        ([-100.0], [-100.1], r"-100 and -100.1"),
        ([-100.0, np.nan], [-100.0, -50.0], r"1 of 2 draws .* \(nan and -50"),
        ([-np.inf], [-50.0], r"\(-inf and -50"),
    ],
)
def test_only_what_rounding_cannot_explain_is_told(first, second, told):
    first, second = np.array(first, np.float32), np.array(second, np.float32)
    found = disagreement(first, second, np.maximum(np.abs(np.nan_to_num(second, neginf=0.0)), 1.0))
    if told is None:
        assert found is None
    else:
        with pytest.raises(AssertionError, match=told):
            raise AssertionError(found)


def holds_32_bits(x, y=None):
    """A loop over an array of its own, which cannot take up a number of 64 bits."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    powers = lax.fori_loop(0, 2, lambda _, at: at * w, jnp.ones(3, jnp.float32))
    numpyro.sample("y", dist.Normal(w * x + 0.0 * powers[0], 0.5), obs=y)


def test_a_model_that_holds_32_bits_is_looked_at_with_them():
    """Moments against the closed form: 0.2 sd is 6 standard errors of 1000 draws."""
    x = np.linspace(0.0, 1.0, 8)
    posterior = posterity.infer(holds_32_bits, {"x": x, "y": 2.0 * x}, refine_seconds=0.0)
    assert posterior.verdict == "corrected" and not runs_with_64_bits(posterior.model)
    precision = 1.0 + x @ x / 0.25
    assert abs(posterior["w"].mean() - 2.0 * x @ x / 0.25 / precision) < 0.2 * precision**-0.5
    assert posterior["w"].std() == pytest.approx(precision**-0.5, rel=0.15)
