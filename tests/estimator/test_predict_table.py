"""Predictions for a table: its labels and units, and refusals where table and arrays are mixed up."""

import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import pytest
from report import cases

from posterity.runtime.errors import InputError
from posterity.tables import Recipe


def posterior_of(function, frame, **how):
    """The posterior of a table, without a network."""
    model = cases.model_of(function)
    recipe, table = Recipe.fit(frame, model.arguments, target="seen", **how)
    values = {a.name: table.values[a.name].astype(a.dtype) for a in model.arguments}
    return cases.make_posterior(model, data=values, recipe=recipe)


def table(seen):
    rng = np.random.default_rng(0)
    return pl.DataFrame({"age": rng.normal(40, 9, 30), "bmi": rng.normal(25, 3, 30), "seen": seen})


def test_real_targets_come_back_in_their_own_units():
    """On z-scores the slopes are 1 and -0.5: one sd of age is one sd of the target."""
    frame = table(np.random.default_rng(1).normal(500.0, 20.0, 30))
    found = posterior_of(cases.real, frame, standardized=True)
    middle, sd = frame["age"].mean(), frame["age"].std(ddof=0)
    new = pl.DataFrame({"bmi": [frame["bmi"].mean()] * 3, "age": [middle, middle + sd, None]})
    predicted = found.predict(pd.DataFrame(new.to_dict(as_series=False)), drop_missing=True)
    scale = frame["seen"].std(ddof=0)
    # 400 draws with noise of sd 1: five standard errors are 0.25.
    np.testing.assert_allclose(predicted.mean[:2], frame["seen"].mean() + scale * np.array([0.0, 1.0]), atol=scale / 4)
    assert predicted.target == "seen" and np.isnan(predicted.mean[2])
    assert predicted.to_frame()["mean"].null_count() == 1


def test_classes_that_the_table_lacks_are_named_by_their_code():
    found = posterior_of(cases.classes, table(["red", "green"] * 15), standardized=True)
    predicted = found.predict(pl.DataFrame({"age": [40.0], "bmi": [25.0]}))
    assert predicted.classes == ("green", "red", "class 2")
    assert {"p[green]", "p[red]", "p[class 2]"} <= set(predicted.to_frame().columns)


def test_binary_targets_tell_of_their_second_label():
    found = posterior_of(cases.binary, table(["no", "yes"] * 15), standardized=True)
    frame = found.predict(pl.DataFrame({"age": [20.0, 60.0], "bmi": [25.0, 25.0]})).to_frame()
    assert frame["predicted"].to_list() == ["no", "yes"]
    assert frame.columns == ["row", "predicted", "p[yes]", "lower[yes]", "upper[yes]"]


def test_tables_and_arrays_are_not_mixed_up():
    found = posterior_of(cases.binary, table(["no", "yes"] * 15), standardized=True)
    with pytest.raises(InputError, match="the dataset was a table; give the new rows as a table"):
        found.predict({"x": np.zeros((1, 2))})
    arrays = dataclasses.replace(found, recipe=None)
    with pytest.raises(InputError, match="the dataset was given as arrays; give the new rows as a dict"):
        arrays.predict(pl.DataFrame({"age": [1.0]}))
    assert arrays.predict({"x": np.zeros((1, 2))}).mean.shape == (1, 2)
