"""One model for one program: what is read once, what is read again, and how much is kept."""

import functools
import threading

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from model.pieces import mean, observe, plated_weights

from posterity.model import read
from posterity.model.read import read_model

TIMEOUT = 60.0


def regression(x, y):
    observe(x @ plated_weights(x), y)


def arrays(num_rows=5, num_columns=3):
    return {"x": np.ones((num_rows, num_columns), np.float32), "y": np.ones(num_rows, np.float32)}


@pytest.mark.parametrize("num_rows", [1, 3, 200])  # 3: as many as columns
def test_the_number_of_rows_makes_no_other_model(num_rows):
    assert read_model(regression, arrays(num_rows)) is read_model(regression, arrays())


def test_values_and_their_containers_make_no_other_model():
    lists = {name: (7.0 * array).tolist() for name, array in arrays().items()}
    assert read_model(regression, lists) is read_model(regression, arrays())


OTHERS = {
    "columns": lambda: read_model(regression, arrays(num_columns=4)),
    "dtype": lambda: read_model(regression, arrays() | {"x": np.ones((5, 3), int)}),
    "capacity": lambda: read_model(regression, arrays(), {"features": 3}),
    "function": lambda: read_model(functools.partial(regression), arrays()),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_programs_shapes_and_capacities_make_other_models(other):
    assert other() != read_model(regression, arrays())
    assert other() is other()


def test_capacities_decide_and_not_the_columns_of_the_example():
    small, large = (read_model(regression, arrays(), {"features": size}) for size in (3, 6))
    assert small != large
    assert [argument.shape for argument in large.arguments] == [(6,), ()]


def test_axes_as_long_as_the_rows_are_told_from_them():
    """With 7 rows and 7 columns nothing is confused, since models are read at a number of rows of our own."""
    square = read_model(regression, arrays(7, 7))
    assert square is read_model(regression, arrays(4, 7))
    assert square.space.size == 7


def test_arrays_bound_by_partial_count_by_value():
    def known(y, offsets):
        observe(mean() + offsets[0], y)

    y = {"y": np.ones(5, np.float32)}
    first, same, other = (
        read_model(functools.partial(known, offsets=np.array(values)), y) for values in ([0.0], [0.0], [1.0])
    )
    assert first is same
    assert first != other


def named(number):
    def model(y):
        observe(mean() + number, y)

    return model


def test_no_more_models_are_kept_than_few(monkeypatch):
    """Whatever is read again is equal to what it was; those used last are kept."""
    monkeypatch.setattr(read, "MOST_KEPT", 3)
    y = {"y": np.ones(5, np.float32)}
    first, second, _ = (read_model(named(i), y) for i in range(3))
    assert read_model(named(0), y) is first
    third = read_model(named(3), y)  # the second has to go
    assert read_model(named(0), y) is first
    assert read_model(named(3), y) is third
    again = read_model(named(1), y)
    assert again is not second
    assert again == second and hash(again) == hash(second)


def test_threads_that_read_at_once_get_one_object():
    """And none disturbs another: NumPyro's stack of handlers belongs to the process."""
    start, found = threading.Barrier(4), {}

    def model(x, y):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
        threading.Event().wait(0.01)  # the others run now, if they may
        observe(x @ w, y)

    def work(place):
        start.wait(TIMEOUT)
        found[place] = read_model(model, arrays())

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(found) == 4 and len({id(model) for model in found.values()}) == 1


def test_a_model_tells_its_arguments_and_latents():
    assert repr(read_model(regression, arrays())) == "Model(regression: x[rows, 3], y[rows]; latents w)"
    varying = read_model(regression, arrays(), {"features": 4})
    assert repr(varying) == "Model(regression: x[rows, features], y[rows]; latents w)"
