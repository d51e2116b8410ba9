"""NUTS as the reference agrees with a conjugate posterior."""

import numpy as np
from model.group_models import known_spread, schooled, without_x
from model.whole_models import WHOLE
from numpy.testing import assert_allclose
from oracles import linear_regression_posterior

from posterity.model.builtin import MODELS
from posterity.model.read import read_whole
from posterity.model.reading import read_as_it_serves
from posterity.trust.nuts import diagnose_chains, nuts_reference


def test_reference_equals_the_closed_form():
    """Two features of a model of up to three. Means of 2000 draws with ESS above 1000 err by 0.03 sd.

    Six comparisons at five of these errors: a false alarm in 300,000.
    """
    model = MODELS["linear_regression_known_noise"].read(3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2))
    dataset = {"x": x, "y": x @ [1.0, -0.5] + 0.3 + 0.5 * rng.normal(size=12)}
    reference = nuts_reference(model, dataset, num_warmup=500, num_draws=1000, num_chains=2)
    assert reference.converged and reference.min_ess > 1000 and reference.num_divergent == 0
    assert {name: draws.shape for name, draws in reference.draws.items()} == {"w": (2000, 2), "b": (2000,)}
    mean, covariance = linear_regression_posterior(dataset)
    draws = np.column_stack([reference.draws["w"], reference.draws["b"]])
    sds = np.sqrt(np.diag(covariance))
    assert_allclose((draws.mean(axis=0) - mean) / sds, 0.0, atol=0.16)
    assert_allclose(draws.std(axis=0) / sds, 1.0, atol=0.12)


def test_groups_and_whole_datasets_are_run_as_they_are():
    """5 groups in a model read at 6, and a factor; means err by 0.05 sd, sds by 4%: six comparisons at 4 errors."""
    data = without_x(schooled(5))
    model = read_as_it_serves(known_spread, data, lambda model, rows: None)[0]
    reference = nuts_reference(model, data, num_warmup=200, num_draws=500, num_chains=1)
    counts = np.bincount(data["school"])
    assert model.capacity == {"schools": 6} and reference.draws["u"].shape == (500, 5)
    mean = np.bincount(data["school"], data["y"]) / (1.0 + counts)
    assert_allclose((reference.draws["u"].mean(axis=0) - mean) * np.sqrt(1.0 + counts), 0.0, atol=0.2)
    series = WHOLE["factor"][1]
    reference = nuts_reference(read_whole(*WHOLE["factor"], "it is a test"), series, num_warmup=200, num_chains=1)
    assert_allclose(reference.draws["mu"].mean(), series["y"].sum() / 31.0, atol=0.2 / np.sqrt(31.0))


def test_the_worst_latent_decides():
    """One scalar of three whose chains disagree; constants, as in a Cholesky factor, are left out."""
    rng = np.random.default_rng(1)
    chains = {"a": rng.normal(size=(4, 500)), "b": rng.normal(size=(4, 500, 3))}
    chains["b"][..., 0] = 1.0
    r_hats, sizes = diagnose_chains(chains)
    assert len(r_hats) == len(sizes) == 3
    assert max(r_hats) < 1.02 and min(sizes) > 1000
    chains["b"][0, :, 2] += 5.0
    r_hats, sizes = diagnose_chains(chains)
    assert max(r_hats) > 1.5 and min(sizes) < 50
