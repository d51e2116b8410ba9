"""Sampling from q on: it converges where it can, says so where it cannot, and keeps to the clock."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpy.testing import assert_allclose
from trust.test_agreement import DATASET, narrow, one_round_only, right

import posterity
from posterity.model.intake import pad_dataset
from posterity.model.read import read_model
from posterity.trust import chains, ladder, refinement, tempering
from posterity.trust.chains import NUM_CHAINS
from posterity.trust.ladder import refine
from posterity.trust.refinement import FEWEST, Budget, Clock
from posterity.trust.target import Target
from posterity.trust.verdict import judge_refined
from posterity.trust.weights import pareto_smoothed

NUM_LATENTS = 4
Y = [1.0, 2.0, 0.5]  # of one length, so that all tests share their programs


def gaussian(y=None):
    """Latents of very different scales; the posterior is known."""
    sds = 10.0 ** jnp.linspace(-2.0, 1.0, NUM_LATENTS)
    z = numpyro.sample("z", dist.Normal(jnp.zeros(NUM_LATENTS), sds))
    numpyro.sample("y", dist.Normal(jnp.sum(z / sds), 1.0), obs=y)


def funnel(y=None):
    """Neal's funnel, hardly touched by its data."""
    v = numpyro.sample("v", dist.Normal(0.0, 3.0))
    u = numpyro.sample("u", dist.Normal(jnp.zeros(9), jnp.exp(v / 2.0)))
    numpyro.sample("y", dist.Normal(jnp.mean(u), 10.0), obs=y)


def ready(function, y, q_sd):
    """The posterior and 1000 draws of a wrong q."""
    data = {"y": np.asarray(y, np.float32)}
    model = read_model(function, data)
    z = q_sd * np.random.default_rng(0).normal(size=(1000, model.space.size)).astype(np.float32)
    return Target(model, pad_dataset(model, data, len(y))), z


def check_ends(target, found):
    """Where the chains stand, their own program has the density of the model: float32 sums of a few terms."""
    z, log_density = found.ends
    assert_allclose(log_density, jax.vmap(target.log_density)(jnp.asarray(z)), rtol=1e-5, atol=1e-3)


EQUAL = np.full(1000, -np.log(1000.0))


def watch_samplers(monkeypatch, watched):
    """Puts `watched(sampler, *arguments)` in the place of samplers."""
    for name in ("run_chains", "temper"):
        monkeypatch.setattr(ladder, name, partial(watched, getattr(ladder, name)))


@pytest.fixture
def compiled_on_the_clock(monkeypatch, caplog):
    """Messages of compilations while a sampler that has a budget runs."""

    def watched(sampler, *arguments):
        with jax.log_compiles(), caplog.at_level("WARNING"):
            return sampler(*arguments)

    watch_samplers(monkeypatch, watched)
    return lambda: [message for message in caplog.messages if message.startswith("Compiling")]


@pytest.fixture
def now(monkeypatch):
    """The time, in a list: it stands still unless a test moves it."""
    now = [100.0]
    monkeypatch.setattr(refinement, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def test_a_gaussian_is_found_from_a_wrong_scale(compiled_on_the_clock):
    """Precision of z / sds is I + n 11', so its covariance is I - n / (1 + 4 n) 11' for n rows."""
    target, z = ready(gaussian, Y, q_sd=1.0)
    found = refine(target, z, EQUAL, random.key(1), Budget(seconds=600.0, min_ess=1000.0, most_steps=4321))
    assert not compiled_on_the_clock()
    assert found.problems == () and found.max_r_hat <= 1.01 and found.min_ess >= 1000.0
    check_ends(target, found)
    assert found.z.shape[0] == NUM_CHAINS and found.z.shape[2] == NUM_LATENTS
    white = found.z.reshape(-1, NUM_LATENTS) / 10.0 ** np.linspace(-2.0, 1.0, NUM_LATENTS)
    n = len(Y)
    ones = np.ones((NUM_LATENTS, NUM_LATENTS))
    # At least 1000 effective draws: five standard errors of a mean are 0.16, of a covariance about as much.
    assert_allclose(white.mean(axis=0), np.sum(Y) / (1.0 + NUM_LATENTS * n), atol=0.16)
    assert_allclose(np.cov(white.T), np.eye(NUM_LATENTS) - n / (1.0 + NUM_LATENTS * n) * ones, atol=0.16)


def quadrant(y=None):
    """Sixty latents, each almost cut off at 0: what a separable classification looks like."""
    z = numpyro.sample("z", dist.Normal(jnp.zeros(60), 1.0))
    numpyro.sample("y", dist.Bernoulli(logits=20.0 * z).to_event(1), obs=y)


def test_many_latents_are_found_from_a_q_that_is_far_too_narrow():
    """A few draws carry all the weight, and the first steps are refused: the scale must not follow what stands still.

    Each latent has density N(0, 1) times sigmoid(20 z)^2, up to a constant.
    """
    target, z = ready(quadrant, np.ones((2, 60)), q_sd=0.1)
    z += 0.3
    log_weights = np.asarray(jax.vmap(target.log_density)(z)) - np.sum(-50.0 * np.square(z - 0.3), axis=1)
    log_weights = np.asarray(jax.nn.log_softmax(log_weights))
    assert 1.0 / np.sum(np.exp(2.0 * log_weights)) < 10.0
    found = refine(target, z, log_weights, random.key(1), Budget(seconds=600.0, most_steps=800))
    assert found.problems == ()
    grid = np.linspace(-1.0, 6.0, 7001)
    density = np.exp(-0.5 * grid**2 - 2.0 * np.logaddexp(0.0, -20.0 * grid))
    mean = np.average(grid, weights=density)
    sd = np.sqrt(np.average((grid - mean) ** 2, weights=density))
    draws = found.z.reshape(-1, 60)
    # At least 400 effective draws: five standard errors of a mean are a quarter of an sd.
    assert_allclose(draws.mean(axis=0), mean, atol=0.25 * sd)
    assert_allclose(draws.std(axis=0), sd, rtol=0.25)


def test_a_funnel_is_not_called_refined():
    """For all the time that it wants: the steps end, not the clock, and the chains were there to be judged."""
    target, z = ready(funnel, [0.3, -0.1], q_sd=1.0)
    found = refine(target, z, EQUAL, random.key(1), Budget(seconds=600.0, most_steps=500))
    assert found.z.shape[1] >= FEWEST and found.seconds < 600.0
    assert found.problems
    verdict, reasons = judge_refined(pareto_smoothed(np.random.default_rng(0).standard_cauchy(500)), found)
    assert verdict == "untrusted" and set(found.problems) < set(reasons)


def test_no_steps_are_begun_that_would_end_too_late(now):
    def takes(seconds):
        now[0] += seconds

    clock = Clock(4.0)
    assert clock.allows(1000)  # nothing is known yet
    clock.run(10, lambda: takes(1.0))
    assert clock.allows(29) and not clock.allows(31)
    clock.look(lambda: takes(0.5))  # 0.65 s are kept for the last look
    assert clock.allows(18) and not clock.allows(19)
    clock.run(10, lambda: takes(0.2))  # half of the slowest so far counts still
    assert clock.allows(32) and not clock.allows(34)
    now[0] = 103.9
    assert not clock.allows(1)


STEP, STAGE, LOOK = 0.004, 1.0, 1e-4  # seconds of a step of all chains, of a stage of tempering, of a look per draw


@pytest.fixture
def spent(now, monkeypatch):
    """Seconds that samplers with a budget took, on a clock on which every step takes its time."""

    def slow(module, name, seconds):
        function = getattr(module, name)

        def run(*arguments):
            now[0] += seconds(*arguments)
            return function(*arguments)

        monkeypatch.setattr(module, name, run)

    monkeypatch.setattr(ladder, "_pace", {"seconds": 0.0})
    slow(chains, "_advance", lambda target, at, key, number, gain: STEP * float(number))
    slow(tempering, "_stage", lambda target, base, at, key, moves: STAGE * float(moves > 0))
    for module in (chains, tempering):
        slow(module, "diagnose", lambda sampler, z, *rest: LOOK * z.shape[1])
    spent = []

    def watched(sampler, *arguments):
        before = now[0]
        found = sampler(*arguments)
        spent.append(now[0] - before)
        assert found.seconds == pytest.approx(spent[-1])
        return found

    watch_samplers(monkeypatch, watched)
    return spent


def test_chains_end_with_their_budget(spent):
    """Of 2 s all but a batch is used; a look that takes longer than the one before may exceed them by a hundredth."""
    target, z = ready(gaussian, Y, q_sd=1.0)
    found = refine(target, z, EQUAL, random.key(1), Budget(seconds=2.0, min_ess=np.inf))
    assert (found.sampler, len(spent)) == ("chains", 1)
    assert 1.8 < spent[0] < 2.02
    assert any("below inf" in problem for problem in found.problems)


def mixture(y=None):
    """Two modes of unequal weight, 20 sds apart; the posterior is known."""
    z = numpyro.sample("z", dist.Normal(jnp.zeros(2), 10.0))
    apart = dist.MixtureSameFamily(
        dist.Categorical(jnp.array([0.3, 0.7])),
        dist.Normal(jnp.stack([z[0] - 10.0, z[0] + 10.0], -1), 1.0),
    )
    numpyro.sample("y", apart, obs=y)


def test_modes_get_their_weights_by_tempering(compiled_on_the_clock):
    """Given y, z_0 is N(y -+ 10, 1) with weights 0.3 and 0.7 times the prior there; exp(-(y -+ 10)^2 / 202)."""
    y = 1.0
    target, z = ready(mixture, [y], q_sd=8.0)
    found = refine(target, z, EQUAL, random.key(1), Budget(seconds=600.0))
    assert (found.sampler, found.problems) == ("tempering", ())
    assert not compiled_on_the_clock()
    check_ends(target, found)
    centres = np.array([y + 10.0, y - 10.0])
    odds = np.array([0.3, 0.7]) * np.exp(-(centres**2) / 202.0)
    draws = found.z.reshape(-1, 2)[:, 0]
    # At least 400 effective draws: four standard errors of a share are 0.1.
    assert_allclose(np.mean(draws > 0.0), odds[0] / odds.sum(), atol=0.1)
    for sign, centre in zip((1, -1), centres, strict=True):
        own = draws[draws * sign > 0.0]
        assert_allclose(own.mean(), centre * 100.0 / 101.0, atol=0.25)
        assert_allclose(own.std(), 1.0, atol=0.2)


def test_chains_and_tempering_end_with_one_budget(spent):
    """All but a stage of 1 s is used."""
    target, z = ready(mixture, [1.0], q_sd=8.0)
    found = refine(target, z, EQUAL, random.key(1), Budget(seconds=20.0, min_ess=np.inf))
    assert (found.sampler, len(spent)) == ("tempering", 2)
    assert 18.0 < sum(spent) < 20.2
    assert found.seconds == pytest.approx(sum(spent))


def test_divergent_transitions_of_all_kept_rounds_count(monkeypatch):
    """Rounds before the last temperature is reached are not kept; the last is not the only one that is."""
    shares = iter([0.9, 0.4, 0.2, 0.1, 0.1])

    def stage(target, base, particles, rng_key, moves):
        return dataclasses.replace(particles, reached=jnp.ones(()), divergent=jnp.asarray(next(shares)))

    monkeypatch.setattr(tempering, "_stage", stage)
    target, z = ready(mixture, [1.0], q_sd=8.0)
    found = tempering.temper(target, z, random.key(1), Budget(seconds=600.0, min_ess=np.inf, most_steps=20))
    assert_allclose(found.divergent, np.mean([0.4, 0.2, 0.1, 0.1]), rtol=1e-6)


def test_no_time_gives_no_draws_and_a_reason():
    target, z = ready(gaussian, Y, q_sd=1.0)
    found = refine(target, z, EQUAL, random.key(1), Budget(seconds=1e-9))
    assert not found.has_draws and "0.0 s were left" in found.problems[0]


@pytest.mark.parametrize(("pace", "seconds", "is_begun"), [(1.0, 20.0, False), (1e-3, 20.0, True)])
def test_programs_that_would_take_too_long_are_not_compiled(monkeypatch, pace, seconds, is_begun):
    """The gradient has some tens of operations; at a second for each, 20 s are too few."""
    monkeypatch.setattr(ladder, "_known", set())
    monkeypatch.setattr(ladder, "_pace", {"seconds": pace})
    target, z = ready(gaussian, Y, q_sd=1.0)
    found = refine(target, z, EQUAL, random.key(1), Budget(seconds=seconds))
    assert found.has_draws == is_begun
    if not is_begun:
        assert "s were left of the time given, and its programs take some" in found.problems[0]


def test_chains_that_are_cut_short_are_handed_over_and_say_so(now, monkeypatch):
    """Chains are asked for more than they can reach: what they have is far better than q, and labelled.

    Each latent has sd sqrt(1 - 3 / 13) = 0.88 where q has 0.2.
    """

    def endless(*arguments):
        return run_chains(*arguments[:-1], dataclasses.replace(arguments[-1], seconds=2.0, min_ess=np.inf))

    def advance(*arguments):
        now[0] += STEP * float(arguments[3])
        return one_batch(*arguments)

    run_chains, one_batch = chains.run_chains, chains._advance
    monkeypatch.setattr(ladder, "run_chains", endless)
    monkeypatch.setattr(chains, "_advance", advance)
    one_round_only(monkeypatch)
    found = narrow(right).infer(DATASET, refine_seconds=600.0)
    assert found.verdict == "untrusted" and found.refined is not None
    assert any("The time ended: 2.0 s were left for the chains" in reason for reason in found.reasons)
    assert found.reasons[-1] == "The draws are those of the chains, which come closest."
    assert found["z"].shape == (1000, 4) and found.ess == min(found.refinement.min_ess, 1000)
    assert_allclose(found["z"].std(axis=0), np.sqrt(1.0 - 3.0 / 13.0), rtol=0.2)
    assert found.proposal.draws["z"][found.is_of_q].std() < 0.25


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_times_below_zero_are_refused(seconds):
    estimator = posterity.informed(gaussian, {"y": Y}, check=False)
    with pytest.raises(posterity.InputError, match="time to refine must be at least 0"):
        estimator.infer({"y": Y}, refine_seconds=seconds)


def test_chains_start_at_many_draws_and_at_none_without_weight():
    """One draw carries everything, forty more have a little, the others lie outside the support."""
    target, z = ready(gaussian, Y, q_sd=1.0)
    log_weights = jnp.full(1000, -jnp.inf).at[0].set(0.0).at[1:41].set(-5e5)
    starts = np.asarray(chains._start(target.mask, jnp.asarray(z), log_weights, random.key(2)).z)
    distances = np.linalg.norm(starts[:, None] - z, axis=2)
    chosen = distances.argmin(axis=1)
    assert distances.min(axis=1).max() < 1e-4  # starts are draws, but for rounding
    assert len(chosen) == NUM_CHAINS and chosen.max() <= 40
    assert len(set(chosen)) > NUM_CHAINS // 3
