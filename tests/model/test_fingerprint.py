"""When two functions are one program: same code, and the same values of all that it refers to."""

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from posterity.model.fingerprint import fingerprint

CELL = """
SD = 2.0
TABLE = {"prior": [1.0, 2.0]}

def scale():
    return SD

def model(y, *, width=3):
    return y * scale() + sum(TABLE["prior"]) + width
"""


def run(cell=CELL):
    """The function that a notebook's cell defines."""
    names = {"__name__": "notebook"}
    exec(compile(cell, "cell", "exec"), names)
    return names["model"], names


def test_a_cell_that_is_run_again_defines_the_same_program():
    first, again = run()[0], run()[0]
    assert first is not again
    assert fingerprint(first) == fingerprint(again)
    assert hash(fingerprint(first)) == hash(fingerprint(again))


CHANGES = {
    "global of a helper": ("SD = 2.0", "SD = 2.5"),
    "entry of a global": ("[1.0, 2.0]", "[1.0, 2.5]"),
    "default": ("width=3", "width=4"),
    "code": ("y * scale()", "y + scale()"),
    "code of a helper": ("return SD", "return 2 * SD"),
    "type of a number": ("width=3", "width=3.0"),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_a_changed_cell_defines_another(old, new):
    assert old in CELL
    assert fingerprint(run(CELL.replace(old, new))[0]) != fingerprint(run()[0])


def test_a_global_that_changes_later_makes_another_program():
    model, names = run()
    before = fingerprint(model)
    names["SD"] = 3.0
    assert fingerprint(model) != before
    names["SD"] = 2.0
    assert fingerprint(model) == before


def closed(value):
    def model(y):
        return y + value

    return model


EQUAL = {
    "number": lambda: 2.5,
    "NaN": lambda: math.nan,
    "text": lambda: "tanh",
    "NumPy array": lambda: np.arange(3.0),
    "JAX array": lambda: jnp.arange(3.0),
    "key": lambda: random.key(3),
    "containers": lambda: {"a": [1, (2, np.ones(2))], "b": None},
    "function": lambda: closed(1.0),
    "partial": lambda: functools.partial(closed(1.0), y=np.ones(2)),
}


@pytest.mark.parametrize("make", EQUAL.values(), ids=EQUAL)
def test_closures_count_by_value(make):
    assert fingerprint(closed(make())) == fingerprint(closed(make()))


DIFFERENT = {
    "numbers": (2.5, 3.5),
    "types": (1, True),
    "arrays": (np.arange(3.0), np.array([0.0, 1.0, 3.0])),
    "dtypes": (np.arange(3, dtype=np.int32), np.arange(3, dtype=np.float32)),
    "shapes": (np.zeros((2, 3)), np.zeros((3, 2))),
    "keys": (random.key(3), random.key(4)),
    "containers": ([1, 2], (1, 2)),
    "functions": (closed(1.0), closed(2.0)),
    "objects": (object(), object()),  # whose values nobody can compare
}


@pytest.mark.parametrize(("value", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_other_closures_are_other_programs(value, other):
    assert fingerprint(closed(value)) == fingerprint(closed(value))
    assert fingerprint(closed(value)) != fingerprint(closed(other))


def test_an_array_that_is_changed_in_place_makes_another_program():
    array = np.zeros(3)
    model = closed(array)
    before = fingerprint(model)
    array[1] = 1.0
    assert fingerprint(model) != before


def program(y, sd, width):
    return y * sd + width


def test_keywords_of_a_partial_count_by_value_and_in_any_order():
    bind = functools.partial
    first = fingerprint(bind(program, sd=np.ones(2), width=3))
    assert first == fingerprint(bind(program, width=3, sd=np.ones(2)))
    assert first != fingerprint(bind(program, sd=np.array([1.0, 2.0]), width=3))
    assert first != fingerprint(bind(program, sd=np.ones(2), width=4))
    assert first != fingerprint(bind(program, sd=np.ones(2)))


class Holder:
    """A model with options of its own."""

    def __init__(self, sd):
        self.sd = sd

    def method(self, y):
        return y * self.sd

    def __call__(self, y):
        return y + self.sd


@pytest.mark.parametrize("pick", [lambda holder: holder.method, lambda holder: holder], ids=["method", "callable"])
def test_an_object_that_changes_makes_another_program(pick):
    holder = Holder(1.0)
    before = fingerprint(pick(holder))
    assert fingerprint(pick(holder)) == before
    holder.sd = 2.0
    assert fingerprint(pick(holder)) != before


def test_functions_that_call_themselves_have_an_end():
    cell = "def model(n):\n    return other(n - 1) if n else 0\n\ndef other(n):\n    return model(n - 1) if n else 1\n"
    assert fingerprint(run(cell)[0]) == fingerprint(run(cell)[0])
    assert fingerprint(run(cell)[0]) != fingerprint(run(cell.replace("else 1", "else 2"))[0])
    containing = []
    containing.append(containing)
    assert fingerprint(closed(containing)) == fingerprint(closed(containing))
