"""A second question of the same kind compiles nothing: counted by JAX itself, not by a clock."""

import jax
import jax.numpy as jnp
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


def test_what_is_warm_compiles_nothing(compilations):
    """Sizes in between and beside, as long as they are padded alike."""
    estimator = posterity.informed(own_model(), like=regression(12, 0)).warm(rows=[12, 40])
    assert compilations
    compilations.clear()
    for rows, seed in ((12, 1), (9, 2), (40, 3), (64, 4)):
        estimator.infer(regression(rows, seed), **{**SETTINGS, "num_draws": 1000})
    assert compilations == []


@pytest.mark.parametrize("rows", [0, [8, -1], []])
def test_numbers_of_rows_to_be_warm_for(rows):
    with pytest.raises(posterity.InputError, match="numbers of rows must be at least 1"):
        posterity.informed(MODEL, columns=2).warm(rows=rows)


def test_a_model_without_rows_is_warm_as_it_is(compilations):
    def walk(y=None):
        sd = numpyro.sample("sd", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.GaussianRandomWalk(sd, num_steps=8), obs=y)

    data = {"y": np.cumsum(np.ones(8, np.float32))}
    estimator = posterity.informed(walk, like=data).warm()
    compilations.clear()
    estimator.infer(data, refine_seconds=0.0)
    assert compilations == []
    with pytest.raises(posterity.InputError, match="has no rows"):
        estimator.warm(rows=3)


SHARED = {"_begin", "_aim", "_laplace", "_smooth", "_choose", "_anchored", "_bent"}


def test_a_second_model_of_one_size_finds_what_serves_every_model_compiled(compilations):
    """Other likelihood, other number of latents and rows within the same padding: only its own programs are new."""

    def logistic(x, y=None):
        w = numpyro.sample("w", dist.Normal(0.0, 1.3).expand([x.shape[-1]]).to_event(1))
        with numpyro.plate("rows", x.shape[0]):
            numpyro.sample("y", dist.Bernoulli(logits=x @ w), obs=y)

    def poisson(x, y=None):
        w = numpyro.sample("w", dist.Normal(0.0, 0.7).expand([x.shape[-1]]).to_event(1))
        with numpyro.plate("rows", x.shape[0]):
            numpyro.sample("y", dist.Poisson(jnp.exp(x @ w)), obs=y)

    rng = np.random.default_rng(0)
    first = {"x": rng.normal(size=(120, 11)), "y": rng.integers(0, 2, 120)}
    second = {"x": rng.normal(size=(100, 10)), "y": rng.poisson(1.0, 100)}
    posterity.infer(logistic, first, refine_seconds=0.0)
    assert {name.removeprefix("jit(").removesuffix(")") for name in compilations} >= SHARED
    compilations.clear()
    posterity.infer(poisson, second, refine_seconds=0.0)
    compiled = {name[len("jit(") : -1] for name in compilations}
    assert "_advance" in compiled
    assert not SHARED & compiled
