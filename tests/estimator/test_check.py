"""`posterity.check` from Python: what it says, and what it refuses."""

import json

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import posterity


def noisy(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(w * x, 0.5), obs=y)


@pytest.fixture(scope="module")
def like():
    rng = np.random.default_rng(0)
    x = rng.normal(size=24)
    return {"x": x, "y": x + 0.5 * rng.normal(size=24)}


def test_an_informed_posterior_of_ones_own_model_is_calibrated(like, tmp_path):
    """A false alarm in 1 of 1000, once for each of the three cells."""
    estimator = posterity.informed(noisy, like)
    found = posterity.check(estimator, like=like, rows=(8, 24), num_datasets=110, num_draws=100)
    assert found.is_calibrated and [cell.cell.rows for cell in found.cells] == [8, 14, 24]
    assert repr(found).startswith("Calibration of noisy: calibrated\n  Corrected answers are calibrated in all 3")
    assert json.loads(json.dumps(found.to_json()))["outcome"] == "calibrated"
    found.report(tmp_path / "check.html")
    assert "Corrected answers are calibrated in all 3 cells." in (tmp_path / "check.html").read_text()


def test_what_cannot_be_simulated_is_refused(like):
    estimator = posterity.informed(noisy, like)
    with pytest.raises(posterity.InputError, match="cannot be simulated without covariates: give like"):
        posterity.check(estimator)
    with pytest.raises(posterity.InputError, match="give 110 or more"):
        posterity.check(estimator, like=like, num_datasets=20)
    with pytest.raises(posterity.InputError, match="at least 25"):
        posterity.check(estimator, like=like, num_draws=10)
