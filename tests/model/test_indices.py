"""Covariates that pick from an axis: how long it is, and codes that it does not have."""

import functools

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from model.example_models import EXAMPLES
from model.pieces import mean, observe
from numpy.testing import assert_array_equal

from posterity.model.intake import read_arrays
from posterity.model.read import read_model
from posterity.runtime.errors import InputError

Y = np.zeros(6, np.float32)
CODES = np.array([0, 1, 2, 3, 0, 1])  # the example's own: not all of them


def vector(name, size):
    with numpyro.plate(f"{name}s", size):
        return numpyro.sample(name, dist.Normal(0.0, 1.0))


def by_brackets(group, y):
    observe(vector("offset", 5)[group], y)


def by_take(group, y):
    observe(jnp.take(vector("offset", 5), group), y)


def by_rows_of_a_matrix(group, y):
    with numpyro.plate("columns", 3, dim=-1), numpyro.plate("groups", 5, dim=-2):
        table = numpyro.sample("table", dist.Normal(0.0, 1.0))
    observe(jnp.sum(table[group], axis=1), y)


def by_columns_of_a_matrix(group, y):
    with numpyro.plate("groups", 5, dim=-1), numpyro.plate("columns", 3, dim=-2):
        table = numpyro.sample("table", dist.Normal(0.0, 1.0))
    observe(jnp.sum(table[:, group], axis=0), y)


def by_two_vectors(group, y):
    observe(vector("offset", 5)[group] + vector("slope", 8)[group], y)  # the shorter one decides


def after_a_change_of_type(group, y):
    observe(vector("offset", 5)[jnp.where(True, group.astype(jnp.int16)[:, None], 0)][:, 0], y)


def county_in_state(group, y, *, state_of_county):
    """5 counties in 2 states: county 4 is no fifth state."""
    observe(vector("county", 5)[group] + vector("state", 2)[state_of_county[group]], y)


PICKING = {
    "brackets": by_brackets,
    "jnp.take": by_take,
    "rows of a matrix": by_rows_of_a_matrix,
    "columns of a matrix": by_columns_of_a_matrix,
    "two vectors": by_two_vectors,
    "another type": after_a_change_of_type,
    "index of an index": functools.partial(county_in_state, state_of_county=jnp.array([0, 1, 1, 0, 1])),
}


def codes(group):
    return {"group": np.asarray(group), "y": Y}


@pytest.mark.parametrize("model", PICKING.values(), ids=PICKING)
def test_all_entries_of_the_axis_may_be_picked_and_no_others(model):
    """Whatever codes the example had."""
    served = read_model(model, codes(CODES))
    assert_array_equal(read_arrays(served, codes([4, 3, 2, 1, 0, 4]))["group"], [4, 3, 2, 1, 0, 4])
    for wrong in (5, -1):
        pattern = f"'group' has index {wrong} in row 2, but the axis that it picks from has 0 to 4. Count from 0"
        with pytest.raises(InputError, match=pattern):
            read_arrays(served, codes([0, 1, wrong, 3, 0, 1]))


def test_codes_from_one_are_told_to_start_at_zero():
    served = read_model(by_brackets, codes(CODES))
    with pytest.raises(InputError, match=r"index 5 in row 4.* has 0 to 4\. Codes seem to start at 1: subtract 1\."):
        read_arrays(served, codes([1, 2, 3, 4, 5, 1]))


def houses(county, y, *, state_of_county):
    observe(vector("state", 3)[state_of_county[county]], y)


def test_what_is_picked_from_first_decides():
    """Bound by functools.partial, the map from 5 counties to 3 states is a constant of the program."""
    model = functools.partial(houses, state_of_county=np.array([0, 1, 2, 2, 1]))
    with pytest.raises(InputError, match="looks at the values"):  # NumPy cannot be indexed by what has no value yet
        read_model(model, {"county": CODES, "y": Y})
    model = functools.partial(houses, state_of_county=jnp.array([0, 1, 2, 2, 1]))
    served = read_model(model, {"county": CODES, "y": Y})
    assert [(a.name, a.num_entries) for a in served.covariates] == [("county", 5)]


def test_codes_that_the_model_shifts_are_the_models_own_matter():
    """Codes from 1 that the model itself subtracts 1 from: 5 is the last of five."""

    def shifted(group, y):
        observe(vector("offset", 5)[group - 1], y)

    served = read_model(shifted, codes(CODES))
    assert [(a.is_index, a.num_entries) for a in served.covariates] == [(True, 0)]
    assert_array_equal(read_arrays(served, codes([1, 2, 3, 4, 5, 1]))["group"], [1, 2, 3, 4, 5, 1])


def test_whole_numbers_that_pick_from_nothing_have_no_range():
    """at_bats is whole as well, but nothing is looked up with it."""
    model, example = EXAMPLES["batting"]
    served = read_model(model, example)
    assert [(a.is_index, a.num_entries) for a in served.covariates] == [(False, 0)]
    read_arrays(served, {"at_bats": np.array([1, 500]), "hits": np.array([0, 400])})


def test_classes_are_data_and_no_index():
    def classes(kind, y):
        numpyro.sample("kind", dist.Categorical(logits=jnp.stack([mean(), 0.0, 1.0])), obs=kind)
        observe(vector("offset", 5)[jnp.zeros(len(y), int)], y)

    served = read_model(classes, {"kind": CODES % 3, "y": Y})
    assert [(a.role, a.is_index, a.num_entries) for a in served.arguments] == [("data", False, 0)] * 2
