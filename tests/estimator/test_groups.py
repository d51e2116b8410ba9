"""Many datasets in one table: each group is answered by itself, in the units of the whole table."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from oracles import linear_regression_posterior

import posterity
from posterity.runtime.errors import InputError

MODEL = "linear_regression_known_noise"
SIZES = {"north": 30, "south": 25, "east": 18}  # padded alike: one program


@pytest.fixture(scope="module")
def frame():
    """Rows of three groups, shuffled; `steady` does not vary within the smallest."""
    rng = np.random.default_rng(0)
    parts = []
    for i, (name, size) in enumerate(SIZES.items()):
        age = rng.normal(40.0 + i, 10.0, size)
        steady = np.full(size, 2.0) if name == "east" else rng.normal(2.0, 1.0, size)
        sales = 5.0 * i + 0.3 * age + rng.normal(0.0, 1.0, size)
        parts.append(pl.DataFrame({"region": [name] * size, "age": age, "steady": steady, "sales": sales}))
    return pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=1)


def infer(frame, group="region", **how):
    """Groups of a frame, on z-scores of the whole table."""
    settings = {"num_draws": 200, "standardize": True, "refine_seconds": 0.0}
    return posterity.infer(MODEL, frame, group=group, target="sales", **settings | how)


@pytest.fixture(scope="module")
def found(frame):
    return infer(frame)


def test_every_group_is_answered_by_itself(frame, found):
    """The mean of 200 exact draws is off by sd / 14: 5 of these."""
    assert list(found) == frame["region"].unique(maintain_order=True).to_list()
    assert {name: posterior.num_rows for name, posterior in found.items()} == SIZES
    assert found.counts == {"corrected": 3, "refined": 0, "untrusted": 0, "unanswered": 0}
    columns = frame.select("age", "steady", "sales").to_numpy()
    z_scores = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    south = z_scores[(frame["region"] == "south").to_numpy()]
    mean, covariance = linear_regression_posterior({"x": south[:, :2], "y": south[:, 2]})
    posterior = found["south"]
    assert posterior.summary()["latent"].to_list() == ["w[age]", "w[steady]", "b"]
    gap = np.abs([*posterior["w"].mean(axis=0), posterior["b"].mean()] - mean)
    assert np.all(gap < 5.0 * np.sqrt(np.diag(covariance)) / 200**0.5)
    assert_allclose(posterior.covariates["x"], south[:, :2], atol=1e-5)


def test_one_frame_holds_verdicts_and_latents(found):
    whole = found.to_frame()
    assert whole.height == 3 * 3
    assert whole["name"].unique(maintain_order=True).to_list() == list(found)
    assert whole["log_evidence"].is_not_null().all() and whole["verdict"].unique().to_list() == ["corrected"]


def log_normal(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.LogNormal(x @ w, 1.0), obs=y)


def test_a_group_that_cannot_be_answered_stops_nobody():
    frame = pl.DataFrame({"shop": list("aaabbb"), "x": [1.0, 2.0, 3.0, 4.0, 5.0, 7.0], "y": [1.0, 2, 0.5, -3, 1, 2]})
    found = posterity.infer(log_normal, frame, group="shop", target="y", num_draws=200, refine_seconds=0.0)
    assert [posterior.verdict for posterior in found.values()] == ["corrected", "unanswered"]
    assert "has 1 values that its likelihood cannot produce, the first in row 0: -3" in found["b"].reasons[0]
    assert found.to_frame()["latent"].to_list() == ["w[x]", None]
    alone = {"x": frame["x"].to_numpy()[:, None], "y": frame["y"].to_numpy()}
    with pytest.raises(InputError, match="1 values that its likelihood cannot produce, the first in row 3: -3"):
        posterity.infer(log_normal, alone, num_draws=200, refine_seconds=0.0)
    with pytest.raises(InputError, match="6 values that its likelihood cannot produce, the first in row 0"):
        posterity.informed(log_normal, {**alone, "y": -1.0 - np.arange(6)}, scales=[])


def test_rows_with_missing_cells_are_left_out_of_their_groups(frame):
    holes = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise(pl.col("age")).alias("age"),
        pl.when(pl.int_range(pl.len()) == 1).then(None).otherwise(pl.col("region")).alias("region"),
    )
    with pytest.raises(InputError, match="'region' is missing in 1 of 73 rows"):
        infer(holes)
    found = infer(holes, drop_missing=True)
    left = holes.drop_nulls().group_by("region").len()
    assert {name: posterior.num_rows for name, posterior in found.items()} == dict(left.iter_rows())
    assert {posterior.dropped_rows for posterior in found.values()} == {2}


@pytest.mark.parametrize(
    ("group", "message"),
    [("regoin", "no such column.*Did you mean 'region'"), ("sales", "is the target or a categorical column, too")],
)
def test_columns_that_cannot_group(frame, group, message):
    with pytest.raises(InputError, match=message):
        infer(frame, group)


def test_one_wrong_cell_does_not_ruin_the_other_groups():
    rng = np.random.default_rng(0)
    a = rng.normal(size=48)
    y = 2.0 * a + rng.normal(0.0, 0.3, 48)
    a[0] = 1e6
    frame = pl.DataFrame({"shop": np.repeat(list("pqrs"), 12), "a": a, "y": y})
    found = posterity.infer("linear_regression", frame, group="shop", target="y", num_draws=200, refine_seconds=0.0)
    slopes = found.summary().filter(pl.col("latent") == "w[a]", pl.col("name") != "p")
    assert slopes["table_mean"].to_numpy() == pytest.approx([2.0] * 3, abs=0.5)  # errors of about 0.1
    assert slopes["table_sd"].max() < 0.3
    told = [reason for reason in found["p"].reasons if "column 'a' has mean" in reason]
    assert len(told) == 1 and "look for wrong cells or another unit" in told[0]
    assert not any("look for wrong cells" in reason for name in "qrs" for reason in found[name].reasons)


def test_progress_reaches_all_groups(frame):
    seen = []
    in_pandas = pd.DataFrame(frame.to_dict(as_series=False))
    infer(in_pandas, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
