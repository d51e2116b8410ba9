"""A second question of the same kind compiles nothing: counted by JAX itself, not by a clock."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
import pytest
from inference.cases import MODEL, SETTINGS, regression

import posterity

COMPILED = "/jax/core/compile/backend_compile_duration"


def own_model():
    """A new function object at each call, as when a notebook's cell is run again."""

    def slopes(x, y=None):
        with numpyro.plate("features", x.shape[-1]):
            w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x @ w, 0.5), obs=y)

    return slopes


def table_of(num_rows, seed):
    data = regression(num_rows, seed)
    return pl.DataFrame({"a": data["x"][:, 0], "b": data["x"][:, 1], "target": data["y"]})


def grouped(num_rows, seed):
    return pl.concat([table_of(num_rows, seed + i).with_columns(store=pl.lit(f"s{i}")) for i in range(3)])


QUESTIONS = {
    "own function": lambda rows, seed: posterity.infer(own_model(), regression(rows, seed), **SETTINGS),
    "built-in": lambda rows, seed: posterity.infer(MODEL, regression(rows, seed), **SETTINGS),
    "table": lambda rows, seed: posterity.infer(MODEL, table_of(rows, seed), target="target", **SETTINGS),
    "groups": lambda rows, seed: posterity.infer(
        MODEL, grouped(rows, seed), target="target", group="store", **SETTINGS
    ),
}


@pytest.fixture
def compilations():
    """Names of the programs that JAX's backend makes from here on."""
    counted = []

    def listen(event, duration, **more):
        if event == COMPILED:
            counted.append(more.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield counted
    jax.monitoring.unregister_event_duration_listener(listen)


def test_the_counter_counts(compilations):
    jax.jit(lambda x: x + 41.7)(np.zeros(3))
    assert compilations


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_second_question_compiles_nothing(ask, compilations):
    """Also with other rows, as many or fewer, where they are padded alike."""
    ask(12, 0)
    compilations.clear()
    for rows, seed in ((12, 0), (12, 1), (15, 2), (9, 3)):
        ask(rows, seed)
    assert compilations == []


def test_one_and_many_share_their_programs(estimator, compilations):
    estimator.infer(regression(12, 0), **SETTINGS)
    compilations.clear()
    estimator.infer_each([regression(12, i) for i in range(17)], **SETTINGS)
    assert compilations == []
