"""Groups as an axis: found, masked without a trace, and written in where masks would change the model."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from model.group_models import (
    centred_by_hand,
    crossed,
    known_spread,
    rich,
    schooled,
    two_effects,
    with_incomes,
    without_plate,
    without_x,
)
from model.pieces import garbage, message
from numpy.testing import assert_allclose

from posterity.model import groups
from posterity.model.groups import capacity_for
from posterity.model.intake import pad_dataset, plate_sizes, read_arrays
from posterity.model.read import read_model, with_more_groups
from posterity.model.reading import read_as_it_serves
from posterity.model.soundness import check_at_rows
from posterity.runtime.errors import InputError


def read(function, data):
    """The reading that serves, checked with numbers."""
    return read_as_it_serves(function, data, lambda model, rows: check_at_rows(model, read_arrays(model, rows)))[0]


def test_capacities_are_few_and_large_enough():
    assert [capacity_for(size) for size in (1, 2, 3, 4, 5, 7, 9, 12, 13, 100)] == [1, 2, 3, 4, 6, 8, 12, 12, 16, 128]


def test_a_number_that_sets_a_plate_is_found_with_what_picks_from_it():
    model = read(two_effects, schooled(5))
    (group,) = model.groups
    assert (group.plate, group.argument, group.indices) == ("schools", "num_schools", ("school",))
    assert model.capacity == {"schools": 6} and model.space.size == 2 + 2 * 6
    assert read(two_effects, schooled(6)) is model
    assert read(two_effects, schooled(7)) == with_more_groups(model, {"schools": 7})


@pytest.mark.parametrize("capacity", [6, 12])
def test_masked_groups_leave_no_trace(capacity, rng_key):
    data = schooled(5)
    rows = {name: values for name, values in data.items() if name != "num_schools"}
    padded = read_model(two_effects, rows, sizes={"num_schools": capacity})
    exact = read_model(functools.partial(two_effects, num_schools=5), rows)
    dataset = pad_dataset(padded, data, 64)
    mask = padded.space.mask(dataset.plate_masks)
    assert int(mask.sum()) == exact.space.size
    z = random.normal(rng_key, (padded.space.size,))
    expected = exact.log_joint(z[mask], pad_dataset(exact, rows, 64))
    assert_allclose(padded.log_joint(z, dataset), expected, rtol=1e-5)
    assert_allclose(padded.log_joint(jnp.where(mask, z, garbage(z)), dataset), expected, rtol=1e-5)


def test_what_is_known_of_groups_has_one_entry_for_each(rng_key):
    data = rich(5)
    model = read(with_incomes, data)
    (group,) = model.groups
    assert group.arrays == ("income",) and model.capacity == {"schools": 6}
    rows = {name: values for name, values in data.items() if name not in ("num_schools", "income")}
    exact = read_model(functools.partial(with_incomes, num_schools=5, income=data["income"]), rows)
    dataset = pad_dataset(model, data, 64)
    mask = model.space.mask(dataset.plate_masks)
    z = random.normal(rng_key, (model.space.size,))
    expected = exact.log_joint(z[mask], pad_dataset(exact, rows, 64))
    assert_allclose(model.log_joint(jnp.where(mask, z, garbage(z)), dataset), expected, rtol=1e-5)
    assert plate_sizes(model, read_arrays(model, {**data, "num_schools": None})) == {"schools": 5}
    with pytest.raises(InputError, match=message("'num_schools' is 5, but income have [4] entries")):
        read_arrays(model, {**data, "income": data["income"][:4]})


def test_rows_do_not_repeat_more_of_their_groups_than_memory_holds(monkeypatch):
    model = read(with_incomes, rich(5))
    monkeypatch.setattr(groups, "MOST_REPEATED", 199)
    with pytest.raises(InputError, match="'income' has 5 numbers of groups, which each of 40 rows would repeat"):
        read_arrays(model, rich(5))


def test_two_factors_vary_by_themselves():
    rng = np.random.default_rng(0)
    data = {"school": rng.integers(0, 3, 30), "teacher": rng.integers(0, 5, 30), "y": rng.normal(size=30)}
    model = read(crossed, {**data, "num_schools": 3, "num_teachers": 5})
    assert model.capacity == {"schools": 3, "teachers": 6}
    assert {group.argument: group.indices for group in model.groups} == {
        "num_schools": ("school",),
        "num_teachers": ("teacher",),
    }
    assert read(crossed, data) is model  # both numbers left out
    assert plate_sizes(model, read_arrays(model, data)) == {"schools": 3, "teachers": 5}


@pytest.mark.parametrize("function", [centred_by_hand, without_plate])
def test_where_masks_would_change_the_model_the_number_is_written_in(function):
    model = read(function, without_x(schooled(5)))
    assert model.groups == () and model.capacity == {}
    assert next(site.shape for site in model.space.sites if site.name == "u") == (5,)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"num_schools": 4}, "'num_schools' is 4, but 'school' has codes up to 4"),
        ({"num_schools": 0}, "'num_schools' must be one whole number of at least 1, the number of schools; got [0]"),
        ({"num_schools": 5.5}, "'num_schools' must be one whole number of at least 1"),
        ({"num_schools": 7}, "has 7 schools, more than the 6"),
        ({"school": np.full(40, -1)}, "'school' has index -1 in row 0"),
    ],
)
def test_numbers_that_contradict_the_codes_are_refused(change, pattern):
    model = read(two_effects, schooled(5))
    with pytest.raises(InputError, match=message(pattern)):
        plate_sizes(model, read_arrays(model, {**schooled(5), **change}))


def test_a_number_without_codes_to_pick_from_it_cannot_be_guessed():
    data = {**without_x(schooled(5)), "num_schools": None, "school": np.linspace(0.0, 1.0, 40)}
    with pytest.raises(InputError, match="argument 'num_schools' has no value"):
        read(known_spread, data)
