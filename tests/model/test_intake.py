"""Datasets at the door: what is converted, what is padded, what is refused; and the envelope around them."""

import functools

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from posterity.model.builtin import MODELS
from posterity.model.dataset import bucket_for, bucket_sizes, stack_datasets
from posterity.model.intake import pad_dataset, plate_sizes, read_arrays
from posterity.model.read import read_model
from posterity.runtime.errors import InputError
from posterity.simulation.envelope import Envelope


def survey(x, age, group, flag, counts, answer):
    with numpyro.plate("features", x.shape[1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    with numpyro.plate("groups", 3):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    eta = x @ w + a[group] + age + jnp.where(flag, 1.0, 0.0)
    numpyro.sample("counts", dist.Poisson(jnp.exp(0.1 * eta)), obs=counts)
    numpyro.sample("answer", dist.Bernoulli(logits=eta), obs=answer)


NUM_ROWS = 5
RNG = np.random.default_rng(1)
GOOD = {
    "x": RNG.normal(size=(NUM_ROWS, 2)),
    "age": RNG.normal(size=NUM_ROWS),
    "group": np.array([0, 2, 1, 1, 0]),
    "flag": np.array([True, False, True, True, False]),
    "counts": np.array([0, 4, 2, 9, 1]),
    "answer": np.array([0, 1, 1, 0, 1]),
}


@functools.cache
def served():
    return read_model(survey, GOOD, {"features": 4})


@functools.cache
def matrices():
    """Two matrices along one plate, a fixed axis, and classes."""

    def model(x, u, v, y):
        with numpyro.plate("features", x.shape[1]):
            w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        logits = jnp.stack([(x * u) @ w, v.sum(1), 0 * v[:, 0]], axis=-1)
        numpyro.sample("y", dist.Categorical(logits=logits), obs=y)

    x = np.ones((5, 3))
    example = {"x": x, "u": x, "v": np.ones((5, 2)), "y": np.arange(5) % 3}
    return read_model(model, example, {"features": 3}), example


def test_arrays_are_converted_and_padded():
    padded = pad_dataset(served(), GOOD, 8)
    assert_array_equal(padded.row_mask, np.arange(8) < NUM_ROWS)
    assert_array_equal(padded.plate_masks["features"], [True, True, False, False])
    assert {name: str(v.dtype) for name, v in padded.values.items()} == {
        "x": "float32", "age": "float32", "group": "int32", "flag": "bool", "counts": "int32", "answer": "int32",
    }  # fmt: skip
    assert padded.values["x"].shape == (8, 4)
    assert_array_equal(padded.values["x"][:NUM_ROWS, :2], GOOD["x"].astype(np.float32))
    assert not np.any(padded.values["x"][NUM_ROWS:]) and not np.any(padded.values["x"][:, 2:])
    assert_array_equal(padded.values["counts"], [*GOOD["counts"], 0, 0, 0])
    assert int(padded.num_obs) == NUM_ROWS


def test_lists_series_and_whole_floats_will_do():
    frame = pl.DataFrame({"age": GOOD["age"], "counts": GOOD["counts"].astype(float)})
    dataset = GOOD | {
        "x": GOOD["x"].tolist(),
        "age": frame["age"],
        "counts": frame["counts"],
        "answer": GOOD["answer"] == 1,
    }
    for name, array in read_arrays(served(), dataset).items():
        assert_array_equal(array, read_arrays(served(), GOOD)[name])
        assert array.dtype == read_arrays(served(), GOOD)[name].dtype


def test_padding_to_the_rows_adds_none():
    assert_array_equal(pad_dataset(served(), GOOD, NUM_ROWS).row_mask, np.ones(NUM_ROWS, bool))


def test_matrices_along_one_plate_are_tied():
    built, example = matrices()
    assert plate_sizes(built, read_arrays(built, example)) == {"features": 3}
    assert {a.name: a.plates for a in built.arguments} == {
        "x": ("features",),
        "u": ("features",),
        "v": (None,),
        "y": (),
    }


def change(**changes):
    return GOOD | changes


REFUSED = {
    "unknown": (change(ages=GOOD["age"]), "unknown array 'ages'; expected x, age, .*, answer. Did you mean 'age'"),
    "missing": ({k: v for k, v in GOOD.items() if k != "age"}, "'age' is missing; expected x, age"),
    "None": (change(age=None), "'age' is missing"),
    "text": (change(age=list("abcde")), "'age' must be numeric; got dtype <U1"),
    "ragged": (change(x=[[1.0], [1.0, 2.0]]), "'x' is not an array"),
    "scalar": (change(age=1.0), r"'age' must have shape \(rows\); got \(\)"),
    "shape": (change(age=np.ones((NUM_ROWS, 1))), r"'age' must have shape \(rows\); got \(5, 1\)"),
    "vector for a matrix": (change(x=GOOD["age"]), r"'x' must have shape \(rows, features\); got \(5,\)"),
    "lengths": (change(age=np.ones(4)), "all arrays need one entry per row, but 'x' has 5, 'age' has 4"),
    "no rows": ({k: v[:0] for k, v in GOOD.items()}, "it has no rows; give at least one"),
    "missing values": (change(age=[1.0, 2.0, np.nan, 1.0, 1.0]), "'age' has missing or infinite.*first in row 2"),
    "infinite": (change(x=np.where(np.arange(2) == 1, np.inf, GOOD["x"])), "'x' has missing or infinite values.*row 0"),
    "missing counts": (change(counts=[1.0, np.nan, 1, 1, 1]), "'counts' has missing or infinite.*in row 1"),
    "fractions": (change(counts=[0.5, 1, 1, 1, 1]), r"'counts' must hold whole numbers \(count\); got fractions"),
    "fractional index": (change(group=[0.5, 1, 1, 1, 1]), "'group' must hold whole numbers; got fractions"),
    "index beyond": (change(group=[0, 1, 3, 1, 1]), "'group' has index 3 in row 2, but the axis .* has 0 to 2"),
    "negative index": (change(group=[0, 1, 1, -1, 1]), "'group' has index -1 in row 3"),
    "negative count": (change(counts=[-2, 1, 1, 1, 1]), "'counts' must hold counts; got -2"),
    "not binary": (change(answer=[1, 2, 1, 2, 1]), r"'answer' must hold 0 and 1; got \[1, 2\]"),
    "not a flag": (change(flag=[1, 2, 1, 2, 1]), "'flag' holds 2, which bool cannot hold, in row 1"),
    "count too large": (change(counts=[2**31, 1, 1, 1, 1]), "'counts' holds 2147483648, which int32 cannot hold"),
    "float too large": (change(age=[1, 1, 1e39, 1, 1]), "'age' holds 1e[+]39, which float32 cannot hold, in row 2"),
    "too many columns": (change(x=np.ones((5, 6))), "has 6 features, more than the 4.*drop some"),
    "no columns": (change(x=np.ones((5, 0))), "has no features; give at least one"),
}  # fmt: skip


@pytest.mark.parametrize(("dataset", "pattern"), REFUSED.values(), ids=REFUSED)
def test_bad_datasets_are_refused(dataset, pattern):
    with pytest.raises(InputError, match=f"dataset for 'survey'.*{pattern}"):
        pad_dataset(served(), dataset, 8)


def test_bad_matrices_are_refused():
    built, example = matrices()
    with pytest.raises(InputError, match=r"axes along 'features' differ in length: \[2, 3\]"):
        pad_dataset(built, example | {"u": np.ones((5, 2))}, 8)
    with pytest.raises(InputError, match=r"'v' must have shape \(rows, 2\); got \(5, 3\)"):
        pad_dataset(built, example | {"v": np.ones((5, 3))}, 8)
    with pytest.raises(InputError, match=r"'y' must hold class codes 0 to 2; got \[0, 3\]"):
        pad_dataset(built, example | {"y": np.array([0, 3, 0, 0, 3])}, 8)


def test_padding_below_the_rows_is_refused():
    with pytest.raises(InputError, match="has 5 rows and cannot be padded to 3"):
        pad_dataset(served(), GOOD, 3)


# -------------------------------------------------------------------------------------------- missing


class ArrowColumn:
    """What a column of Arrow can do: integers with nulls become floats with NaN."""

    null_count = 2

    def is_null(self):
        return np.array([False, True, False, True, False])

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, 0.0, 3.0, 0.0, 5.0])


class UnknownColumn:
    """A container that nobody has heard of, whose missing cells become objects."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1, None, 3, None, 5], object)


CELLS = [1, None, 3, None, 5]
MISSING = {
    "masked array": np.ma.masked_values([1.0, -999.0, 3.0, -999.0, 5.0], -999.0),
    "masked objects": np.ma.masked_array(np.array([1, 2, 3, 4, 5], object), [0, 1, 0, 1, 0]),
    "masked entries of a list": [1.0, np.ma.masked, 3.0, np.ma.masked, 5.0],
    "list": CELLS,
    "tuple": tuple(CELLS),
    "object array": np.array(CELLS, object),
    "pandas integers": pd.Series(CELLS, dtype="Int64"),
    "pandas floats": pd.Series(CELLS, dtype="Float64"),
    "pandas objects": pd.Series(CELLS, dtype=object),
    "pandas array": pd.array(CELLS, dtype="Int64"),
    "list of pandas cells": list(pd.array(CELLS, dtype="Int64")),
    "polars": pl.Series(CELLS),
    "polars booleans": pl.Series([True, None, False, None, True]),
    "arrow": ArrowColumn(),
    "unknown": UnknownColumn(),
}


@pytest.mark.parametrize("column", MISSING.values(), ids=MISSING)
def test_cells_that_a_container_marks_as_missing_are_refused(column):
    with pytest.raises(InputError, match="'age' has missing values in 2 of 5 rows, the first in row 1; leave these"):
        read_arrays(served(), change(age=column))
    with pytest.raises(InputError, match="'age' has missing values in 2 of 5 rows, the first in row 1"):
        read_model(survey, change(age=column))


MATRICES = {
    "masked array": np.ma.masked_array(GOOD["x"], GOOD["x"] == GOOD["x"][2, 1]),
    "list of masked rows": list(np.ma.masked_array(GOOD["x"], GOOD["x"] == GOOD["x"][2, 1])),
    "list": [[1.0, 2.0], [1, 2], [1, None], [1, 2], [1, 2]],
    "pandas": pd.DataFrame({"a": [1, 2, 3, 4, 5], "b": pd.array([1, 2, None, 4, 5], dtype="Int64")}),
    "polars": pl.DataFrame({"a": [1, 2, 3, 4, 5], "b": [1, 2, None, 4, 5]}),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_missing_cells_of_matrices_are_told_by_row(matrix):
    with pytest.raises(InputError, match="'x' has missing values in 1 of 5 rows, the first in row 2"):
        read_arrays(served(), change(x=matrix))


def test_containers_without_missing_cells_are_read():
    columns = {
        "masked array": np.ma.masked_array([1.0, 2, 3, 4, 5]),
        "objects": np.array([1, 2, 3, 4, 5], object),
        "pandas": pd.Series([1, 2, 3, 4, 5], dtype="Int64"),
        "polars": pl.Series([1, 2, 3, 4, 5]),
    }
    for column in columns.values():
        assert_array_equal(read_arrays(served(), change(age=column))["age"], [1.0, 2.0, 3.0, 4.0, 5.0])
    frame = pl.DataFrame(GOOD["x"])
    for matrix in (frame, pd.DataFrame(GOOD["x"]), frame.rows()):
        assert_array_equal(read_arrays(served(), change(x=matrix))["x"], GOOD["x"].astype(np.float32))


# -------------------------------------------------------------------------------------------- buckets


@pytest.mark.parametrize(
    ("low", "high", "sizes"),
    [
        (16, 128, (32, 64, 128)),
        (64, 64, (64,)),
        (60, 64, (64,)),
        (1, 1, (1,)),
        (10, 90, (22, 44, 90)),
        (5, 16, (8, 16)),
    ],
)
def test_buckets_cover_the_envelope(low, high, sizes):
    assert bucket_sizes(low, high) == sizes
    for num_rows in range(low, high + 1):
        assert num_rows <= bucket_for(num_rows, sizes) <= high


def test_beyond_the_largest_bucket():
    assert [bucket_for(n, (32, 64)) for n in (1, 32, 33, 64, 65, 128, 129, 1000)] == [
        32,
        32,
        64,
        64,
        128,
        128,
        256,
        1024,
    ]


def test_datasets_stack_into_a_batch():
    batch = stack_datasets(
        [pad_dataset(served(), GOOD, 8), pad_dataset(served(), {k: v[:3] for k, v in GOOD.items()}, 8)]
    )
    assert batch.values["x"].shape == (2, 8, 4) and batch.plate_masks["features"].shape == (2, 4)
    assert_array_equal(batch.num_obs, [5, 3])


# ------------------------------------------------------------------------------------------- envelope


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("rows", "plates", "pattern"),
    [
        ((0, 5), {}, "rows 0:5 is not a range; give whole numbers LOW:HIGH with 1 <= LOW <= HIGH"),
        ((9, 5), {}, "rows 9:5 is not a range"),
        ((5,), {}, "rows 5 is not a range"),
        (5, {}, "rows 5 is not a range"),
        ((1.5, 2.0), {}, "rows 1.5:2.0 is not a range"),
        ((1, 5), {"features": (0, 3)}, "features 0:3 is not a range"),
        ((1, 5), {"rows": (4, 3)}, "rows 4:3 is not a range"),
    ],
)
def test_envelopes_must_be_ranges(rows, plates, pattern):
    with pytest.raises(InputError, match=pattern):
        Envelope(rows, plates)


def test_reasons_name_every_way_out():
    envelope = Envelope((16, 64), {"features": (2, 4)})
    assert envelope.reasons(16, {"features": 4}) == () == envelope.reasons(64, {"features": 2})
    assert envelope.reasons(15, {"features": 3}) == ("15 rows lie outside the training envelope 16..64",)
    assert envelope.reasons(65, {"features": 1}) == (
        "65 rows lie outside the training envelope 16..64",
        "1 features lie outside the training envelope 2..4",
    )


def test_envelope_survives_json():
    envelope = Envelope((16, 64), {"features": (2, 4)})
    assert Envelope.from_json(envelope.to_json()) == envelope


# --------------------------------------------------------------------------------------------- labels


def test_latents_are_labelled_by_plate():
    entries = {"features": ["bmi", "age"]}  # a dataset with 2 of its 4 columns
    assert served().space.labels(entries) == {
        "w": ("w[bmi]", "w[age]"),
        "a": ("a[0]", "a[1]", "a[2]"),
    }


def test_matrices_of_latents_are_labelled_in_c_order():
    labels = (
        MODELS["categorical_regression"]
        .read(3)
        .space.labels({"features": ["bmi", "age"], "classes": ["no", "yes", "unknown"]})
    )
    assert labels == {
        "b": ("b[no]", "b[yes]", "b[unknown]"),
        "w": ("w[bmi, no]", "w[bmi, yes]", "w[bmi, unknown]", "w[age, no]", "w[age, yes]", "w[age, unknown]"),
    }


def test_vectors_without_plates_are_labelled_by_the_argument_they_follow():
    def model(data, labels):
        coefs = numpyro.sample("coefs", dist.Normal(jnp.zeros(data.shape[1]), 1.0))
        joint = numpyro.sample("joint", dist.MultivariateNormal(jnp.zeros(data.shape[1]), jnp.eye(data.shape[1])))
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("obs", dist.Normal(data @ (coefs + joint), scale), obs=labels)

    built = read_model(model, {"data": np.ones((5, 3)), "labels": np.ones(5)})
    (group,) = built.axis_groups
    assert dict(group.axes) == {"data": (1,)} and group.latent_axes == (("coefs", 0), ("joint", 0))
    entries = {f"{site}:{axis}": ["bmi", "age", "bp"] for site, axis in group.latent_axes}
    assert built.space.labels(entries) == {
        "coefs": ("coefs[bmi]", "coefs[age]", "coefs[bp]"),
        "joint": ("joint[bmi]", "joint[age]", "joint[bp]"),
        "scale": ("scale",),
    }
