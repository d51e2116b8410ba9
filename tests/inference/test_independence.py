"""Datasets of one call: independent of each other, and each the same bits alone, in any batch and in any order."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.cases import MODEL, SETTINGS, regression, same_bits
from oracles import linear_regression_posterior
from scipy import stats

import posterity
from posterity.runtime.errors import InputError
from posterity.tables import Recipe

POOL = [regression(3 + i % 14, i, num_columns=1 + (i % 5 > 0)) for i in range(20)]


@pytest.fixture(scope="module")
def alone(estimator):
    """Dataset of the pool -> its posterior when nothing else is asked, under its name."""
    return [estimator.infer(dataset, name=f"store {i}", **SETTINGS) for i, dataset in enumerate(POOL)]


@pytest.mark.parametrize("names", [("north", "south"), None], ids=["by name", "by place"])
def test_posteriors_of_different_datasets_are_independent(estimator, names):
    """1000 independent pairs correlate by 1/sqrt(1000); 4 of these is 1 false alarm in 16,000 for each column.

    From paired draws P(w_A > w_B) has standard error 0.016 at most: 5 of them.
    """
    datasets = [regression(12, 0), regression(12, 1)]
    a, b = estimator.infer_each(datasets, names=names, num_draws=1000, refine_seconds=0.0)
    (mean_a, cov_a), (mean_b, cov_b) = (linear_regression_posterior(dataset) for dataset in datasets)
    for j in range(2):
        assert abs(np.corrcoef(a["w"][:, j], b["w"][:, j])[0, 1]) < 4.0 / np.sqrt(1000)
        exact = stats.norm.cdf((mean_a[j] - mean_b[j]) / np.sqrt(cov_a[j, j] + cov_b[j, j]))
        assert np.mean(a["w"][:, j] > b["w"][:, j]) == pytest.approx(exact, abs=5 * 0.016)


def test_the_same_rows_under_two_names_are_drawn_twice(estimator):
    dataset = regression(12, 0)
    a, b, again = (estimator.infer(dataset, name=name, **SETTINGS) for name in ("north", "south", "north"))
    assert same_bits(a, again)
    assert not np.intersect1d(a.proposed["w"][:, 0], b.proposed["w"][:, 0]).size


@settings(max_examples=25, deadline=None, derandomize=True)
@given(order=st.lists(st.integers(0, 19), min_size=1, max_size=20, unique=True))
def test_named_datasets_are_the_same_bits_in_any_company(estimator, alone, order):
    found = estimator.infer_each([POOL[i] for i in order], names=[f"store {i}" for i in order], **SETTINGS)
    assert all(same_bits(posterior, alone[i]) for posterior, i in zip(found, order, strict=True))


@settings(max_examples=10, deadline=None, derandomize=True)
@given(which=st.lists(st.integers(0, 19), min_size=1, max_size=20), shift=st.integers(1, 19), at=st.integers(0, 19))
def test_without_names_the_place_decides(estimator, which, shift, at):
    """The same place, whatever stands at the other places."""
    at %= len(which)
    first, second = ([POOL[(i + moved) % 20] for i in which] for moved in (0, shift))
    second[at] = first[at]
    found, others = (estimator.infer_each(datasets, **SETTINGS) for datasets in (first, second))
    assert same_bits(found[at], others[at])
    assert same_bits(found[0], estimator.infer(first[0], **SETTINGS))  # alone, it stands at the first place


def test_one_size_may_take_several_batches(estimator):
    """37 datasets of one padded size fill two batches of 16 and a part of the third."""
    datasets = [regression(8, i) for i in range(37)]
    names = [f"store {i}" for i in range(37)]
    done = []
    found = estimator.infer_each(datasets, names=names, on_progress=done.append, **SETTINGS)
    assert done == list(range(1, 38)) and [posterior.name for posterior in found] == names
    for i in (0, 15, 16, 36):
        assert same_bits(found[i], estimator.infer(datasets[i], name=names[i], **SETTINGS))
    w = np.stack([posterior["w"][:, 0] for posterior in found])
    assert len(np.unique(w)) > 0.5 * w.size  # no two share their draws


def test_eight_threads_get_the_bits_of_one(estimator, alone):
    def ask(k):
        order = [(k + 3 * i) % 20 for i in range(6)]
        return order, estimator.infer_each([POOL[i] for i in order], names=[f"store {i}" for i in order], **SETTINGS)

    with ThreadPoolExecutor(8) as pool:
        for order, found in pool.map(ask, range(16)):
            assert all(same_bits(posterior, alone[i]) for posterior, i in zip(found, order, strict=True))


@pytest.fixture(scope="module")
def table():
    """Three stores of different sizes, their rows mixed."""
    parts = []
    for i, (name, size) in enumerate({"north": 7, "south": 12, "east": 5}.items()):
        data = regression(size, i)
        parts.append(pl.DataFrame({"store": [name] * size, "a": data["x"][:, 0], "b": data["x"][:, 1], "y": data["y"]}))
    return pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=1)


def test_groups_of_a_table_are_the_same_bits_alone_and_in_any_order(estimator, table):
    """One recipe for all; a group's own rows keep their order."""
    whole = posterity.infer(MODEL, table, target="y", group="store", standardize=False, **SETTINGS)
    turned = table.sort("store", descending=True, maintain_order=True)
    assert list(whole) != list(turned["store"].unique(maintain_order=True))
    again = posterity.infer(MODEL, turned, target="y", group="store", standardize=False, **SETTINGS)
    recipe, _ = Recipe.fit(table.drop("store"), estimator.model.arguments, target="y")
    for name, posterior in whole.items():
        assert same_bits(posterior, again[name])
        rows = recipe.transform(table.filter(pl.col("store") == name)).values
        assert same_bits(posterior, estimator.infer(rows, name=name, columns=recipe.columns_of, **SETTINGS))
        (by_recipe,) = estimator.infer_table(recipe, {name: rows}, **SETTINGS)
        assert same_bits(posterior, by_recipe)


def test_names_given_twice_are_refused(estimator):
    with pytest.raises(InputError, match="the name 'b' is given twice; two datasets of one name would share"):
        estimator.infer_each(POOL[:3], names=["a", "b", "b"], **SETTINGS)
    assert len(estimator.infer_each(POOL[:3], names=["a", None, None], **SETTINGS)) == 3
    with pytest.raises(InputError, match="2 names for 1 datasets"):
        estimator.infer_each(POOL[:1], names=["a", "b"], **SETTINGS)
