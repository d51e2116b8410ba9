"""Many datasets in one table: each group is answered by itself, in the units of the whole table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

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


def answer(frame, group="region", **how):
    """Groups of a frame, z-scored as the built-in regressions with unknown noise are."""
    return posterity.infer_groups(
        MODEL, frame, group=group, target="sales", standardize=True, refine_seconds=0.0, **how
    )


@pytest.fixture(scope="module")
def found(frame):
    return answer(frame)


def test_every_group_is_answered_by_itself(frame, found):
    order = frame["region"].unique(maintain_order=True).to_list()
    assert found.groups["group"].to_list() == order
    assert dict(found.groups.select("group", "num_rows").iter_rows()) == SIZES
    assert found.counts == {"corrected": 3, "refined": 0, "untrusted": 0}
    estimator = posterity.informed_estimator(found.problem)
    rows = np.flatnonzero((frame["region"] == "south").to_numpy())
    alone = estimator.infer({name: values[rows] for name, values in found.data.values.items()}, refine_seconds=0.0)
    weights = np.exp(alone.weights.log_weights)
    south = found.latents.filter(pl.col("group") == "south")
    expected = [*(weights @ alone.draws["w"]), weights @ alone.draws["b"]]
    assert south["latent"].to_list() == ["w[age]", "w[steady]", "b"]
    assert_allclose(south["mean"].to_numpy(), expected, atol=1e-5)


def test_scaling_is_that_of_the_whole_table(frame, found):
    ages = frame["age"].to_numpy()
    assert_allclose(found.data.values["x"][:, 0], (ages - ages.mean()) / ages.std(), atol=1e-5)


def test_one_frame_holds_verdicts_and_latents(found):
    whole = found.to_frame()
    assert whole.height == 3 * 3
    assert whole["group"].unique(maintain_order=True).to_list() == found.groups["group"].to_list()
    assert whole["log_evidence"].is_not_null().all() and whole["verdict"].unique().to_list() == ["corrected"]


def test_a_group_that_cannot_be_answered_stops_nobody():
    frame = pl.DataFrame({"shop": list("aaabbb"), "x": [1.0, 2.0, 3.0, 4.0, 5.0, 7.0], "y": [1, 2, 0, -3, 1, 2]})

    def counts(x, y=None):
        import numpyro
        import numpyro.distributions as dist

        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("y", dist.LogNormal(x @ w, 1.0), obs=y)

    found = posterity.infer_groups(counts, frame, group="shop", target="y", refine_seconds=0.0)
    assert found.groups["verdict"].to_list()[1] == "untrusted" == found.groups["verdict"].to_list()[0]
    assert all("cannot produce" in reasons[0] for reasons in found.groups["reasons"])
    assert found.to_frame().height == 2 and found.to_frame()["latent"].null_count() == 2


def test_rows_with_missing_cells_are_left_out_of_their_groups(frame):
    holes = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise(pl.col("age")).alias("age"),
        pl.when(pl.int_range(pl.len()) == 1).then(None).otherwise(pl.col("region")).alias("region"),
    )
    with pytest.raises(InputError, match="'region' is missing in 1 of 73 rows"):
        answer(holes)
    found = answer(holes, drop_missing=True)
    left = holes.drop_nulls().group_by("region").len()
    assert dict(found.groups.select("group", "num_rows").iter_rows()) == dict(left.iter_rows())


@pytest.mark.parametrize(
    ("group", "message"),
    [("regoin", "no such column.*Did you mean 'region'"), ("sales", "is the target or a categorical column, too")],
)
def test_columns_that_cannot_group(frame, group, message):
    with pytest.raises(InputError, match=message):
        answer(frame, group)


def test_one_wrong_cell_does_not_ruin_the_other_groups():
    rng = np.random.default_rng(0)
    a = rng.normal(size=48)
    y = 2.0 * a + rng.normal(0.0, 0.3, 48)
    a[0] = 1e6
    frame = pl.DataFrame({"shop": np.repeat(list("pqrs"), 12), "a": a, "y": y})
    found = posterity.infer_groups("linear_regression", frame, group="shop", target="y", refine_seconds=0.0)
    slopes = found.latents.filter(pl.col("latent") == "w[a]", pl.col("group") != "p")
    assert slopes["original_mean"].to_numpy() == pytest.approx([2.0] * 3, abs=0.5)  # errors of about 0.1
    assert slopes["original_sd"].max() < 0.3


def test_progress_reaches_all_groups(frame):
    seen = []
    in_pandas = pd.DataFrame(frame.to_dict(as_series=False))
    answer(in_pandas, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
