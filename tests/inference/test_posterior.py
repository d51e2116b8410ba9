"""What a posterior holds: draws of equal weight, the q behind them, and frames of many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.cases import SETTINGS, regression
from numpy.testing import assert_allclose, assert_array_equal

from posterity import Posteriors
from posterity.inference import draw, run
from posterity.model.intake import pad_dataset
from posterity.results.resampling import resampled_indices
from posterity.runtime.errors import InputError
from posterity.trust.refinement import Refinement
from posterity.trust.weights import ImportanceWeights


@pytest.fixture(scope="module")
def posterior(estimator):
    return estimator.infer(regression(12, 0), name="a", columns={"x": ["age", "bmi"]}, **SETTINGS)


def z_of(posterior):
    """The tiny model's latents are real numbers: `w`, then `b`."""
    return np.column_stack([posterior.proposed["w"], posterior.proposed["b"]])


def test_the_proposal_is_the_q_that_drew(posterior, rng_key):
    """A tenth of the draws is wider: their density is that of the mixture, nine tenths q's own or more."""
    proposal = posterior.proposal
    of_q = posterior.is_of_q
    over = posterior.log_q - np.asarray(jax.vmap(proposal.log_prob)(z_of(posterior)))
    assert len(over) == 1112 and of_q.sum() == 1000
    assert over.min() == pytest.approx(np.log(1000 / 1112), abs=0.09)
    assert np.median(over[of_q]) < 0.0 < over[~of_q].max()
    assert_array_equal(proposal.draws["w"], posterior.proposed["w"])
    assert_array_equal(proposal.log_weights, posterior.weights.log_weights)
    more = proposal.sample(rng_key, 2000)
    assert more["w"].shape == (2000, 2) and more["b"].shape == (2000,)
    sd = np.asarray(more["w"]).std(axis=0)  # means of 1000 and of 2000 draws: 5 standard errors
    assert np.all(
        np.abs(np.asarray(more["w"]).mean(axis=0) - proposal.draws["w"][of_q].mean(axis=0)) < 5.0 * sd / 600**0.5
    )


def test_corrected_draws_are_resampled_by_the_weights(estimator, monkeypatch):
    """The tiny model's q is exact; so it is given weights that keep ten draws."""
    ten = np.where(np.arange(1112) % 111 == 5, -np.log(10.0), -np.inf)
    made_up = ImportanceWeights(ten, 0.1, 1000.0)
    monkeypatch.setattr(run, "pareto_smoothed_many", lambda ratios: [made_up] * len(ratios))
    posterior = estimator.infer(regression(12, 0), **SETTINGS)
    assert posterior.verdict == "corrected"
    for site in ("w", "b"):
        assert_array_equal(posterior[site], np.repeat(posterior.proposed[site][5::111][:10], 3, axis=0))
        assert posterior.draws[site] is posterior[site]
    draws, log_weights = posterior.weighted
    assert draws is posterior.proposed and log_weights is ten
    assert_allclose(posterior.summary()["mean"][0], posterior["w"][:, 0].mean(), rtol=1e-5)


@pytest.mark.parametrize("verdict", ["untrusted", "refined"])
def test_other_draws_are_those_that_the_verdict_allows(estimator, monkeypatch, verdict):
    """40 steps of 2 chains, of which 30 draws are used: evenly spaced; all are kept, with the log joint of each."""
    z = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32)
    found = Refinement("chains", z, 1.0, 25.0, 0.0, 0.1, ())
    monkeypatch.setattr(run, "climb", lambda *given: (verdict, ("Because.",), found))
    dataset = regression(12, 0)
    posterior = estimator.infer(dataset, **SETTINGS)
    handed = () if verdict == "refined" else ("The draws are those of the chains, which come closest.",)
    assert posterior.verdict == verdict and posterior.reasons == ("Because.", *handed)
    everything = z.reshape(80, 3)
    assert_array_equal(np.column_stack([posterior.refined["w"], posterior.refined["b"]]), everything)
    taken = everything[resampled_indices(None, 80, 30)]
    assert_array_equal(posterior["w"], taken[:, :2])
    assert_array_equal(posterior["b"], taken[:, 2])
    assert posterior.num_chains == 2 and len(np.unique(taken[:, 2])) == 30
    assert posterior.weighted[1] is None and posterior.ess == 25.0
    padded = pad_dataset(estimator.model, dataset, 16)
    expected = jax.vmap(estimator.model.log_joint, in_axes=(0, None))(everything, padded)
    assert_allclose(posterior.refined_log_joint, expected, rtol=1e-5)
    with pytest.raises(InputError, match=f"is {verdict}"):
        _ = posterior.log_evidence


def test_many_rows_are_weighed_in_turns_with_the_same_result(estimator, posterior, monkeypatch):
    padded = pad_dataset(estimator.model, regression(12, 0), 16)
    monkeypatch.setattr(draw, "DRAWS_TIMES_ROWS", 64)  # 4 draws of 16 rows at a time
    in_turns = draw.log_joints(estimator.model, jnp.asarray(z_of(posterior)), padded)
    assert_allclose(in_turns, posterior.log_joint, rtol=1e-5, atol=1e-4)


def test_unknown_sites_are_named(posterior):
    with pytest.raises(InputError, match="unknown latent site 'v'"):
        posterior["v"]


def test_text_says_name_verdict_and_latents(posterior):
    lines = repr(posterior).splitlines()
    assert lines[0].startswith(
        "Posterior 'a' of linear_regression_known_noise, 12 rows: corrected (30 draws; ESS 1062 of 1112 weighed, "
    )
    assert [line.split()[0] for line in lines[1:]] == ["w[age]", "w[bmi]", "b"]


def test_posteriors_by_name(estimator):
    bad = {"x": np.zeros((4, 2)), "y": np.zeros(3)}
    found = Posteriors(estimator.infer_each([regression(7, 0), bad, regression(6, 1)], names=list("abc"), **SETTINGS))
    assert list(found) == ["a", "b", "c"] and len(found) == 3 and "b" in found
    assert found["c"].name == "c"
    with pytest.raises(InputError, match="unknown dataset 'd'"):
        found["d"]
    assert found.counts == {"corrected": 2, "refined": 0, "untrusted": 0, "unanswered": 1}
    assert repr(found) == "Posteriors of 3 datasets: 2 corrected, 1 unanswered"
    verdicts, latents, whole = found.verdicts(), found.summary(), found.to_frame()
    assert verdicts["name"].to_list() == ["a", "b", "c"] and verdicts["num_rows"].to_list() == [7, 4, 6]
    assert "one entry per row" in verdicts["reasons"][1][0] and verdicts["log_evidence"].null_count() == 1
    assert latents["name"].to_list() == ["a"] * 3 + ["c"] * 3
    assert latents.columns == ["name", "latent", "mean", "sd", "q05", "q50", "q95"]
    draws, log_weights = found["c"].weighted
    assert_allclose(latents["mean"][3], np.exp(log_weights) @ draws["w"][:, 0], rtol=1e-5)
    assert whole.height == 7 and whole["latent"].null_count() == 1
