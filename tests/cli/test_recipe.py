"""What is trained where nothing was asked for, and values on the command line."""

import pytest

from posterity.cli.options import parse_plates, parse_range, parse_settings
from posterity.cli.recipe import choose_architecture, choose_config, choose_recipe, reverse_options
from posterity.estimator.train import default_architecture
from posterity.model.build import build_problem
from posterity.model.builtin import MODELS
from posterity.runtime.errors import InputError
from posterity.simulation.envelope import Envelope


@pytest.fixture(scope="module")
def problems():
    return {name: MODELS[name].problem((4, 8)) for name in ("linear_regression", "logistic_regression")}


@pytest.mark.parametrize(
    ("model", "objective", "stream", "expected"),
    [
        ("linear_regression", None, None, ("ReverseKL", "ZScoredTables")),
        ("linear_regression", "reverse", None, ("ReverseKL", "ZScoredTables")),
        ("linear_regression", "forward", None, ("ForwardKL", "Simulated")),
        ("linear_regression", "symmetric", None, ("SymmetricKL", "Simulated")),
        ("linear_regression", None, "simulated", ("ForwardKL", "Simulated")),
        ("logistic_regression", None, None, ("ForwardKL", "Simulated")),
        ("logistic_regression", None, "tables", ("ReverseKL", "ZScoredTables")),
        ("logistic_regression", "reverse", None, ("ReverseKL", "Simulated")),
    ],
)
def test_objective_and_stream(problems, model, objective, stream, expected):
    recipe = choose_recipe(problems[model], objective, stream, {})
    assert (type(recipe.objective).__name__, type(recipe.stream).__name__) == expected
    assert (recipe.why == "as asked for") == (objective is not None)


def test_reverse_options_reach_both_objectives_that_have_them(problems):
    options = reverse_options(8, True, 0.1)
    assert options == {"num_samples": 8, "stick_the_landing": True, "kl_warmup": 0.1}
    assert reverse_options(None, False, None) == {}
    reverse = choose_recipe(problems["linear_regression"], "reverse", None, options).objective
    symmetric = choose_recipe(problems["linear_regression"], "symmetric", None, options).objective
    assert (reverse.num_samples, reverse.stick_the_landing, reverse.kl_warmup) == (8, True, 0.1)
    assert symmetric.reverse == reverse


def test_the_family_depends_on_the_number_of_latents(problems):
    few = problems["linear_regression"]
    architecture, why = choose_architecture(few, None, None, {})
    assert (architecture, why) == (default_architecture(few), "the default for 12 latents")
    entry = MODELS["linear_regression"]
    many = build_problem(entry.model, entry.example(100), Envelope((70, 70)), check=False)
    architecture, why = choose_architecture(many, "gru", None, {"trunk_options": {"depth": 1}})
    assert (architecture.encoder, architecture.trunk_options) == ("gru", {"depth": 1})
    assert architecture.family == default_architecture(many).family
    assert why == "the default for 102 latents"
    architecture, why = choose_architecture(many, None, "flow", {})
    assert (architecture.family, why) == ("flow", "as asked for")


def test_budget_is_five_minutes_where_none_is_given():
    assert choose_config(minutes=None, steps=None, seed=3).minutes == 5.0
    config = choose_config(minutes=None, steps=7, batch_size=None, learning_rate=0.1)
    assert (config.minutes, config.steps, config.batch_size, config.learning_rate) == (None, 7, 64, 0.1)


def test_small_grammars():
    assert parse_range("--rows", "16:128") == (16, 128)
    assert parse_range("--rows", "64") == (64, 64)
    assert parse_plates("1:5", ["groups=2:9"]) == {"groups": (2, 9), "features": (1, 5)}
    assert parse_settings("--set", ["a=1", "b=0.5", "c=true", "d=tanh", "e=1e3"]) == {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": "tanh",
        "e": 1000.0,
    }
    with pytest.raises(InputError, match="expected NAME=VALUE"):
        parse_settings("--set", ["a"])
