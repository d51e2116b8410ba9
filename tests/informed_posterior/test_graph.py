"""Functions as lists of equations, and the classes of dependence that are read off them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import solve_triangular
from numpy.testing import assert_allclose, assert_array_equal

from posterity.informed_posterior.read.graph import Dependence, trace_graph

X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
W = jnp.asarray([0.3, -1.2, 0.7])
LOWER = jnp.asarray([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-0.3, 0.2, 1.5]])
double = jax.jit(lambda v: 2.0 * v + 1.0)
power = jax.jit(lambda v: v * v)

FUNCTIONS = {
    "nothing": (lambda w, x: jnp.sum(jnp.exp(x)), Dependence.CONSTANT),
    "matmul": (lambda w, x: x @ w + 1.0, Dependence.AFFINE),
    "slices": (lambda w, x: w[:2] - 3.0 * w[1], Dependence.AFFINE),
    "reversed": (lambda w, x: w[::-1], Dependence.AFFINE),
    "gathered": (lambda w, x: w[jnp.asarray([0, 0, 2])], Dependence.AFFINE),
    "gathered_by_data": (lambda w, x: w[jnp.argmax(x, axis=1)], Dependence.AFFINE),
    "stacked": (lambda w, x: jnp.concatenate([w, jnp.zeros(2)]).reshape(5, 1), Dependence.AFFINE),
    "scaled_by_data": (lambda w, x: jnp.exp(x) * w / jnp.sum(x**2), Dependence.AFFINE),
    "chosen_by_data": (lambda w, x: jnp.where(x > 0.0, w, 0.0), Dependence.AFFINE),
    "solved": (lambda w, x: solve_triangular(LOWER, w, lower=True), Dependence.AFFINE),
    "twice_the_same_jit": (lambda w, x: double(w) - double(x @ w)[:3], Dependence.AFFINE),
    "square": (lambda w, x: jnp.sum(jnp.square(x @ w - 1.0)), Dependence.QUADRATIC),
    "power_of_two": (lambda w, x: w**2 + w, Dependence.QUADRATIC),
    "product": (lambda w, x: w * (x @ w)[:3], Dependence.QUADRATIC),
    "inner_product": (lambda w, x: w @ w, Dependence.QUADRATIC),
    "product_in_jit": (lambda w, x: power(x @ w), Dependence.QUADRATIC),
    "sum_of_squares_and_data": (lambda w, x: -0.5 * jnp.sum(w * w) + jnp.sum(jnp.log(x**2)), Dependence.QUADRATIC),
    "cube": (lambda w, x: w * w * w, Dependence.CURVED),
    "power_of_three": (lambda w, x: w**3, Dependence.CURVED),
    "square_of_square": (lambda w, x: jnp.square(jnp.square(w)), Dependence.CURVED),
    "exp": (lambda w, x: jnp.exp(x @ w), Dependence.CURVED),
    "absolute": (lambda w, x: jnp.abs(w), Dependence.CURVED),
    "capped": (lambda w, x: jnp.minimum(w, 18.0), Dependence.CURVED),
    "denominator": (lambda w, x: 1.0 / w, Dependence.CURVED),
    "chosen_by_sign": (lambda w, x: jnp.where(w > 0.0, w, 2.0 * w), Dependence.CURVED),
    "solved_by_latents": (lambda w, x: solve_triangular(LOWER + jnp.diag(w), X[0], lower=True), Dependence.CURVED),
    "is_itself": (lambda w, x: w == w, Dependence.GUARD),
    "is_finite": (lambda w, x: jnp.all(jnp.isfinite(x @ w)), Dependence.GUARD),
    "is_not_infinite": (lambda w, x: (w != jnp.inf) & (w == w), Dependence.GUARD),
    "is_positive": (lambda w, x: w > 0.0, Dependence.CURVED),
    "is_a_number_of_data": (lambda w, x: w == x[0], Dependence.CURVED),
    "guarded_affine": (lambda w, x: jnp.where(jnp.isfinite(w), w, jnp.nan), Dependence.AFFINE),
    "guarded_square": (lambda w, x: jnp.where(w == w, jnp.square(w), jnp.nan), Dependence.QUADRATIC),
    "guarded_by_curved": (lambda w, x: jnp.where(jnp.exp(w) < 2.0, w, jnp.nan), Dependence.CURVED),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dependence(name):
    function, expected = FUNCTIONS[name]
    graph, output = trace_graph(function, W, X)
    assert graph.dependence(graph.inputs[:1])[output] is expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_depends_where_nothing_is_chosen(name):
    graph, _ = trace_graph(FUNCTIONS[name][0], W, X)
    assert set(graph.dependence(()).values()) == {Dependence.CONSTANT}


@pytest.fixture(scope="module")
def runs():
    """Every function at values other than those that it was traced at, and its graph there, as one program."""
    graphs = {
        name: trace_graph(function, jax.ShapeDtypeStruct((3,), jnp.float32), X)
        for name, (function, _) in FUNCTIONS.items()
    }

    def run(w, x):
        found = {}
        for name, (graph, output) in graphs.items():
            values = dict(zip(graph.inputs, (w, x), strict=True))
            everything = graph.run(graph.equations, values)
            needed = graph.run(graph.upstream(output), values)
            found[name] = (FUNCTIONS[name][0](w, x), everything[output], needed[output], everything)
        return found

    return {name: graph for name, (graph, _) in graphs.items()}, jax.device_get(jax.jit(run)(W - 0.5, X[::-1] + 0.1))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_running_the_graph_is_the_function(runs, name):
    graphs, found = runs
    expected, output, needed, everything = found[name]
    assert_allclose(output, expected, rtol=1e-6)
    assert_array_equal(needed, output)
    for number, value in everything.items():
        assert np.shape(value) == graphs[name].shapes[number]
        assert graphs[name].size(number) == np.size(value)


def test_nested_calls_are_written_out():
    graph, _ = trace_graph(lambda w: jnp.exp(double(double(w)) + double(w)), W)
    names = [equation.name for equation in graph.equations]
    assert not {"jit", "pjit", "closed_call"} & set(names)
    assert names.count("mul") == 3  # once for each call: the same inner function has fresh numbers each time
    results = [result for equation in graph.equations for result in equation.results]
    assert len(results) == len(set(results))


def test_upstream_leaves_out_what_is_not_needed():
    graph, outputs = trace_graph(lambda w, x: {"a": jnp.exp(w), "b": jnp.sin(x) + 1.0}, W, X)
    assert [equation.name for equation in graph.upstream(outputs["a"])] == ["exp"]
    assert [equation.name for equation in graph.upstream(outputs["b"])] == ["sin", "add"]


def test_values_that_are_there_are_not_made_again():
    graph, output = trace_graph(lambda w: jnp.exp(w) + w, W)
    (made,) = graph.equations[0].results
    found = graph.run(graph.equations, {graph.inputs[0]: W, made: jnp.zeros(3)})
    assert_array_equal(found[output], W)


def test_outputs_that_are_inputs_or_constants():
    graph, outputs = trace_graph(lambda w: {"same": w, "constant": 2.0}, W)
    assert outputs["same"] == graph.inputs[0]
    assert float(outputs["constant"]) == 2.0
