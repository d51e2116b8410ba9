"""Targets of one's own model that are codes: the likelihood says what the column is, not its type in the table."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import polars as pl
import pytest

import posterity
from posterity.runtime.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=60)
CODES = RNG.integers(0, 3, 60)


def logits(x, k=None):
    with numpyro.plate("classes", 3):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("k", dist.Categorical(logits=jnp.stack([0.0 * x, x, -x], axis=-1) + a), obs=k)


def ordered(x, k=None):
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    numpyro.sample("k", dist.OrderedLogistic(b * x, jnp.array([-1.0, 1.0])), obs=k)


def by_group(g, y=None):
    with numpyro.plate("groups", 3):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(a[g], 1.0), obs=y)


@pytest.mark.parametrize("model", [logits, ordered])
@pytest.mark.parametrize("cells", [CODES, CODES.astype(float), np.array(["u", "v", "w"])[CODES]], ids=str)
@pytest.mark.parametrize("target", ["k", "class"])
def test_classes_may_be_codes_floats_or_labels(model, cells, target):
    table = pl.DataFrame({"x": X, target: cells})
    found = posterity.infer(model, table, target=target, num_draws=200, refine_seconds=0.0)
    right = posterity.infer(model, {"x": X, "k": CODES}, num_draws=200, refine_seconds=0.0)
    assert found.ess == pytest.approx(right.ess) and found.ess > 50.0


@pytest.mark.parametrize("cells", [CODES == 1, CODES == 1.0, np.array(["no", "yes"])[(CODES == 1) * 1]])
def test_binary_targets(cells):
    def bernoulli(x, k=None):
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        numpyro.sample("k", dist.Bernoulli(logits=b * x), obs=k)

    found = posterity.infer(bernoulli, pd.DataFrame({"x": X, "k": cells}), target="k", refine_seconds=0.0)
    assert found.verdict == "corrected"


def test_an_index_that_pandas_turned_into_floats():
    table = pd.DataFrame({"g": CODES.astype(float), "y": X})
    found = posterity.infer(by_group, table, target="y", refine_seconds=0.0)
    sums, sizes = np.bincount(CODES, X), np.bincount(CODES)
    np.testing.assert_allclose(found["a"].mean(axis=0), sums / (sizes + 1), atol=0.05)  # conjugate; sds are 0.2


def test_a_model_that_no_reading_suits_is_refused_as_such():
    with pytest.raises(InputError, match="Indexer must have integer"):
        posterity.infer(by_group, pl.DataFrame({"g": CODES + 0.5, "y": X}), target="y")
