"""What is trained where nothing was asked for, and what an example settles."""

import numpy as np
import pytest
from cli.cases import FIXTURES, regression_table, shop_table

import posterity
from posterity import (
    Architecture,
    Envelope,
    ForwardKL,
    InputError,
    RealRows,
    ReverseKL,
    StandardNormal,
    SymmetricKL,
    TrainingConfig,
    ZScoredTables,
    builtin_simulator,
)
from posterity.cli.user_model import load_model
from posterity.estimator.training_example import Reading, training_simulator
from posterity.estimator.training_recipe import Choices, choose_config, default_architecture
from posterity.model.builtin import MODELS


def choose(objective=None, stream=None, architecture=None, encoder=None, family=None):
    return Choices.of(objective, stream, architecture, encoder, family)


@pytest.fixture(scope="module")
def simulators():
    names = ("linear_regression", "logistic_regression")
    return {name: builtin_simulator(MODELS[name], (4, 8), check=False) for name in names}


@pytest.mark.parametrize(
    ("model", "objective", "stream", "expected"),
    [
        ("linear_regression", None, None, ("ReverseKL", "ZScoredTables")),
        ("linear_regression", "reverse", None, ("ReverseKL", "ZScoredTables")),
        ("linear_regression", "forward", None, ("ForwardKL", "Simulated")),
        ("linear_regression", "symmetric", None, ("SymmetricKL", "Simulated")),
        ("linear_regression", SymmetricKL(), None, ("SymmetricKL", "Simulated")),
        ("linear_regression", None, "simulated", ("ForwardKL", "Simulated")),
        ("linear_regression", None, RealRows({}), ("ReverseKL", "RealRows")),
        ("logistic_regression", None, None, ("ForwardKL", "Simulated")),
        ("logistic_regression", None, "tables", ("ReverseKL", "ZScoredTables")),
        ("logistic_regression", ReverseKL(8), None, ("ReverseKL", "Simulated")),
    ],
)
def test_objective_and_stream(simulators, model, objective, stream, expected):
    plan = choose(objective, stream).plan(simulators[model], TrainingConfig(steps=1))
    assert (type(plan.objective).__name__, type(plan.stream).__name__) == expected
    assert (plan.why_objective == "as asked for") == (objective is not None)


def test_the_family_depends_on_the_number_of_latents(simulators):
    def plan(simulator, **chosen):
        return choose(**chosen).plan(simulator, TrainingConfig(steps=1))

    few = plan(simulators["linear_regression"])
    assert (few.architecture, few.why_family) == (Architecture(family="full"), "the default for 12 latents")
    many = builtin_simulator(MODELS["linear_regression"], (70, 70), (100, 100), check=False)
    assert default_architecture(many) == Architecture(family="diagonal")
    gru = plan(many, encoder="gru", architecture={"trunk_options": {"depth": 1}})
    assert gru.architecture == Architecture("gru", "diagonal", trunk_options={"depth": 1})
    assert gru.why_family == "the default for 102 latents"
    flow = plan(many, architecture=Architecture("gru", "full"), family="flow")
    assert (flow.architecture, flow.why_family) == (Architecture("gru", "flow"), "as asked for")


def test_budget_is_five_minutes_where_none_is_given():
    none = {"minutes": None, "steps": None, "batch_size": None, "learning_rate": None}
    assert choose_config(None, **none, seed=3) == TrainingConfig(minutes=5.0, seed=3)
    assert choose_config(None, **none | {"steps": 7, "learning_rate": 0.1}, seed=0) == TrainingConfig(
        steps=7, learning_rate=0.1
    )
    whole = TrainingConfig(steps=3, seed=4)
    assert choose_config(whole, **none, seed=0) is choose_config(whole, **none, seed=4) is whole
    with pytest.raises(InputError, match="config holds minutes already"):
        choose_config(whole, **none | {"minutes": 1.0}, seed=0)
    with pytest.raises(InputError, match="config holds seed already"):
        choose_config(whole, **none, seed=5)


BAD = {
    "encoder": ({"encoder": "nope"}, "unknown encoder 'nope'"),
    "family": ({"family": "fulll"}, "Did you mean 'full'"),
    "architecture": ({"architecture": {"encodr": "gru"}}, "Did you mean 'encoder'"),
    "option": ({"architecture": {"trunk_options": {"widht": 3}}}, "Did you mean 'width'"),
    "objective": ({"objective": "backward"}, "unknown objective 'backward'"),
    "stream": ({"stream": "real"}, "unknown stream 'real'"),
    "pair": ({"objective": ForwardKL(), "stream": ZScoredTables()}, "forward KL learns from joint draws"),
    "budget": ({"minutes": -1.0}, "minutes must be positive"),
    "resume": ({"resume": True}, "give folder="),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_arguments_are_refused_before_any_model_is_read(arguments, message):
    with pytest.raises(InputError, match=message):
        posterity.train(_never_read, **arguments)


def _never_read(x, y=None):
    raise AssertionError("work before checks")


BAD_EXAMPLES = {
    "unknown model": (["lineer_regression"], {}, "Did you mean 'linear_regression'"),
    "other plate": (["gaussian_mean"], {"plates": {"features": (1, 3)}}, "dims=LOW:HIGH"),
    "reversed rows": (["linear_regression"], {"rows": (9, 2)}, "rows 9:2 is not a range"),
    "unknown option": (["linear_regression"], {"options": {"prior_sds": 2.0}}, "Did you mean 'prior_sd'"),
    "unknown law": (["linear_regression"], {"covariates": "normall"}, "Did you mean 'normal'"),
    "nothing to resample": (["linear_regression"], {"covariates": "resampled"}, "draws rows of an example"),
    "no covariates": (["gaussian_mean", {"x": np.ones((4, 2))}], {"covariates": "resampled"}, "no covariates"),
    "no example": ([_never_read], {}, "needs an example"),
    "own options": ([_never_read, {"x": np.ones(4)}], {"options": {"a": 1}}, "options of built-in models"),
    "no table": (["linear_regression"], {"target": "y"}, "'target' says how to read a table"),
    "arrays": (["linear_regression", {"x": np.ones((4, 2))}], {"standardize": True}, "is taken as it is"),
    "not enough columns": (
        ["linear_regression", {"x": np.ones((4, 2)), "y": np.ones(4)}],
        {"plates": {"features": (1, 5)}},
        r"shape \(2,\) per row, while the envelope reaches \(5,\)",
    ),
    "vector": (["linear_regression", {"x": np.ones(4), "y": np.ones(4)}], {}, "is a matrix, rows first"),
    "target": (["linear_regression", regression_table()], {"target": "hight"}, "Did you mean 'height'"),
}


@pytest.mark.parametrize(("model", "arguments", "message"), BAD_EXAMPLES.values(), ids=BAD_EXAMPLES)
def test_examples_that_cannot_serve(model, arguments, message):
    with pytest.raises(InputError, match=message):
        posterity.train(*model, steps=1, **arguments)


def test_a_simulator_has_settled_everything(simulators):
    with pytest.raises(InputError, match="'rows' cannot be given with a Simulator"):
        posterity.train(simulators["linear_regression"], rows=(2, 3), steps=1)


@pytest.fixture
def unchecked(monkeypatch):
    """Without the check of masks, which takes seconds and is not the subject here."""
    monkeypatch.setattr("posterity.simulation.simulator.check_model", lambda *_: None)


def simulator_of(model, like, target=None, rows=None, plates=None, covariates=None, options=None, **reading):
    return training_simulator(
        model,
        like,
        rows=rows,
        plates=plates,
        covariates=covariates,
        options=options,
        reading=Reading(target, **reading),
    )


def test_columns_and_covariates_follow_the_arrays(unchecked):
    """30 columns are more than the usual 10, and 200 rows more than the usual 128."""
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(200, 30)).astype(np.float32)
    like = {"x": x, "y": x[:, 0]}
    simulator = simulator_of("linear_regression", like, covariates="resampled")
    assert simulator.envelope == Envelope((16, 200), {"features": (30, 30)})
    np.testing.assert_array_equal(simulator.covariate_law.rows["x"], x)  # as they are: nothing says z-scores
    chosen = simulator_of("linear_regression", like, rows=(4, 8), plates={"features": (1, 2)}, covariates="normal")
    assert chosen.envelope == Envelope((4, 8), {"features": (1, 2)}) and chosen.covariate_law == StandardNormal()


def test_a_table_is_z_scored_for_a_builtin_regression(unchecked, tmp_path):
    """Rows of the table, z-scored as the model wants them, and as many columns; a path or a frame."""
    path = tmp_path / "data.csv"
    regression_table().write_csv(path)
    expected = regression_table().select("age", "height").to_numpy()
    expected = (expected - expected.mean(0)) / expected.std(0)
    given = {"target": "y", "rows": (16, 32), "options": {"prior_sd": 2.0}}
    simulator = simulator_of("linear_regression", path, **given)
    assert simulator.envelope.plates == {"features": (2, 2)}
    np.testing.assert_allclose(simulator.covariate_law.rows["x"], expected, rtol=1e-4, atol=1e-5)
    narrow = simulator_of("linear_regression", regression_table(), plates={"features": (1, 1)}, **given)
    np.testing.assert_allclose(narrow.covariate_law.rows["x"], expected[:, :1], rtol=1e-4, atol=1e-5)


def test_options_reach_the_model_of_a_table(unchecked):
    """A fourth class, which the model has only when it is asked for."""
    frame = regression_table().with_columns(y=np.arange(24) % 4)
    with pytest.raises(InputError, match="takes at most 3"):
        simulator_of("categorical_regression", frame, "y")
    simulator = simulator_of("categorical_regression", frame, "y", options={"num_classes": 4})
    assert [a.num_classes for a in simulator.model.data] == [4]


def test_a_model_of_ones_own_takes_its_columns_as_they_are(unchecked):
    shop = load_model(f"{FIXTURES / 'shop.py'}:shop")
    given = {"like": shop_table(), "target": "sales", "rows": (8, 16), "plates": {"features": (2, 2)}}
    plain = simulator_of(shop, **given)
    assert [(a.name, a.role, a.kind) for a in plain.model.arguments] == [
        ("x", "covariate", "real"),
        ("y", "data", "count"),
    ]
    assert plain.envelope == Envelope((8, 16), {"features": (2, 2)})
    expected = shop_table().select("temperature", "holiday").to_numpy()
    np.testing.assert_allclose(plain.covariate_law.rows["x"], expected, rtol=1e-6)
    scaled = simulator_of(shop, **given, standardize=True)
    np.testing.assert_allclose(np.mean(scaled.covariate_law.rows["x"], axis=0), 0.0, atol=1e-6)
    assert simulator_of(shop, **given, covariates="normal").covariate_law == StandardNormal()
