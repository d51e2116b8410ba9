"""A table and a formula -> arrays, against formulaic's own matrix; new rows; units; and what is refused."""

import sys

import numpy as np
import polars as pl
import pytest
from formula_cases import plants
from numpy.testing import assert_allclose, assert_array_equal

from posterity.model.formula import RESPONSE_FAMILIES
from posterity.runtime.errors import InputError
from posterity.tables.formula import FormulaRecipe, parse_formula

formulaic = pytest.importorskip("formulaic")


def fit(formula, frame=None, family="normal", **settings):
    frame = plants() if frame is None else frame
    return FormulaRecipe.fit(frame, parse_formula(formula), RESPONSE_FAMILIES[family], source="plants.csv", **settings)


def raw_columns(recipe, values):
    """The fixed part before scaling."""
    return values["x"] * recipe.scaling.sds + recipe.scaling.means


@pytest.mark.parametrize(
    "right",
    ["rain + soil", "rain*soil", "poly(rain, 2) + log(area)", "0 + soil", "C(grade) + I(rain**2)", "bs(rain, df=4)"],
)
def test_the_fixed_part_is_formulaics_own_matrix(right):
    import pandas as pd

    frame = plants()
    own = formulaic.Formula(right).get_model_matrix(pd.DataFrame(frame.to_dict(as_series=False)))
    recipe, table = fit(f"height ~ {right}")
    names = [name for name in own.columns if name != "Intercept"]
    assert list(recipe.columns) == names
    assert_allclose(raw_columns(recipe, table.values), own[names].to_numpy(np.float64), atol=1e-9)
    assert recipe.has_intercept == ("Intercept" in own.columns)


def test_columns_are_scaled_and_the_response_too():
    recipe, table = fit("height ~ rain + soil")
    frame = plants()
    assert recipe.columns == ("rain", "soil[T.loam]", "soil[T.sand]")
    assert_allclose(table.values["x"][:, 0], (frame["rain"] - frame["rain"].mean()) / frame["rain"].std(ddof=0))
    assert_allclose(table.values["x"][:, 1], (frame["soil"] == "loam") - (frame["soil"] == "loam").mean())
    assert_allclose(table.values["y"], (frame["height"] - frame["height"].mean()) / frame["height"].std(ddof=0))


def test_groups_are_codes_and_nested_ones_are_pairs_that_occur():
    frame = plants().filter((pl.col("plot") != "p1") | (pl.col("bed") != "b2"))
    recipe, table = fit("height ~ 1 + (1 | plot/bed)", frame)
    plot, pair = recipe.effects
    assert (plot.site, pair.site, pair.grouping.name) == ("plot", "plot_bed", "plot:bed")
    assert plot.grouping.labels == [f"p{i}" for i in range(6)]
    expected = sorted(set(map(":".join, zip(frame["plot"], frame["bed"], strict=True))))
    assert pair.grouping.labels == expected and len(expected) == 17
    assert [expected[c] for c in table.values["plot_bed"]] == list(map(":".join, frame.select("plot", "bed").rows()))
    assert set(table.values) == {"plot", "plot_bed", "y"}
    assert all(values.ndim == 1 for values in table.values.values())  # never rows by groups


def test_whole_numbers_are_levels_in_their_order():
    frame = plants().with_columns(plot=pl.col("plot").str.slice(1).cast(pl.Int64) * 7 + 95)
    recipe, _ = fit("height ~ (1 | plot)", frame)
    assert recipe.effects[0].grouping.labels == ["95", "102", "109", "116", "123", "130"]


def test_effects_share_correlations_or_do_not():
    together, table = fit("height ~ rain + (rain | plot)")
    (term,) = together.effects
    assert (term.columns, term.argument) == (("Intercept", "rain"), "z_plot")
    frame = plants()
    assert_allclose(table.values["z_plot"][:, 1] * frame["rain"].std(ddof=0), frame["rain"])  # scaled, not centred
    apart, table = fit("height ~ rain + (rain || plot)")
    assert [(t.site, t.columns, t.argument) for t in apart.effects] == [
        ("plot", ("Intercept",), None),
        ("plot_rain", ("rain",), "z_plot_rain"),
    ]
    assert table.values["z_plot_rain"].shape == (48,)


def test_names_that_programs_have_already_are_kept_apart():
    frame = plants().rename({"plot": "x", "bed": "my group", "soil": "class"})
    recipe, table = fit("height ~ rain + (1 | x) + (1 | `my group`) + (1 | class)", frame)
    assert [term.index for term in recipe.effects] == ["x_2", "my_group", "group_class"]
    assert table.values["x"].shape == (48, 1)
    frame = plants().rename({"bed": "sd_plot", "soil": "num_plot"})
    for first, second in (("plot", "sd_plot"), ("sd_plot", "plot")):
        recipe, table = fit(f"height ~ (1 | {first}) + (1 | {second}) + (1 | num_plot)", frame)
        names = [f"{prefix}{t.site}" for t in recipe.effects for prefix in ("", "sd_", "u_", "num_")]
        assert len(set(names)) == len(names)


def test_offset_trials_and_weights_are_expressions():
    frame = plants()
    _, table = fit("leaves ~ rain + offset(log(area)) + offset(rain / 100)", family="poisson")
    assert_allclose(table.values["offset"], np.log(frame["area"]) + frame["rain"] / 100)
    for formula, given in (("cbind(sprouts, seeds - sprouts) ~ rain", None), ("sprouts ~ rain", "seeds")):
        _, table = fit(formula, family="binomial", trials=given)
        assert_array_equal(table.values["trials"], frame["seeds"])
        assert_array_equal(table.values["y"], frame["sprouts"])
    recipe, table = fit("height ~ rain + offset(2 * rain)", weights="area")
    assert_allclose(table.values["weights"], frame["area"])
    centre, spread = recipe.scaling.target_mean, recipe.scaling.target_sd
    assert centre == pytest.approx((frame["height"] - 2 * frame["rain"]).mean())  # of what the offset leaves
    assert_allclose(table.values["y"] * spread + centre, frame["height"])
    assert_allclose(table.values["offset"] * spread, 2 * frame["rain"])


def test_rows_with_missing_cells_are_refused_or_dropped_and_counted():
    frame = plants().with_columns(
        rain=pl.when(pl.int_range(48) == 3).then(None).otherwise(pl.col("rain")),
        plot=pl.when(pl.int_range(48) == 9).then(pl.lit("")).otherwise(pl.col("plot")),
        height=pl.when(pl.int_range(48) == 12).then(float("nan")).otherwise(pl.col("height")),
        cover=None,  # not mentioned, so that it does not matter
    )
    with pytest.raises(InputError, match=r"missing values in 3 of 48 rows; by column: .*Give --drop-missing"):
        fit("height ~ rain + (1 | plot)", frame)
    _, table = fit("height ~ rain + (1 | plot)", frame, drop_missing=True)
    assert (table.dropped_rows, len(table.rows)) == (3, 45)
    assert not {3, 9, 12} & set(table.rows)


def test_new_rows_are_coded_and_scaled_as_the_table_was():
    formula = "sprouts ~ poly(rain, 2) + soil + (rain | plot) + offset(area)"
    recipe, table = fit(formula, family="binomial", trials="seeds")
    some = plants()[[5, 40, 17]].drop("sprouts", "height")
    values = recipe.new_rows(some).values
    assert set(values) == set(table.values) - {"y"}
    for name, array in values.items():
        assert_allclose(array, table.values[name][[5, 40, 17]], atol=1e-12)
    gap = some.with_columns(rain=pl.Series([1.0, None, 2.0]))
    dropped = recipe.new_rows(gap, drop_missing=True)
    assert_array_equal(dropped.rows, [0, 2])
    assert recipe.predictions_to_table(np.ones(2), dropped).tolist()[0] == 1.0


def test_new_levels_are_refused():
    recipe, _ = fit("height ~ soil + C(grade) + (1 | plot)")
    frame = plants()[:2]
    with pytest.raises(InputError, match="group 'plot' has the new level 'p9'"):
        recipe.new_rows(frame.with_columns(plot=pl.lit("p9")))
    with pytest.raises(
        InputError, match=r"column 'soil' has the category 'mud'; plants.csv has 'clay', 'loam', 'sand'"
    ):
        recipe.new_rows(frame.with_columns(soil=pl.lit("mud")))
    with pytest.raises(InputError, match=r"'soil \+ C\(grade\)' cannot be evaluated: .*outside"):
        recipe.new_rows(frame.with_columns(grade=pl.lit(9)))
    with pytest.raises(InputError, match="no column 'plot'"):
        recipe.new_rows(frame.drop("plot"))


@pytest.mark.parametrize("formula", ["height ~ rain*soil + (rain | plot)", "height ~ 0 + rain + (0 + rain | plot)"])
def test_table_units_give_the_same_predictor(formula, rng_key):
    """eta from the draws in the table's units and the columns as they stand is that of the program."""
    recipe, table = fit(formula)
    rng = np.random.default_rng(0)
    (term,) = recipe.effects
    q, p = len(term.columns), len(recipe.columns)
    several = q > 1
    draws = {
        "b": rng.normal(size=(4, p)),
        "sd_plot": rng.uniform(0.5, 2.0, (4, q) if several else 4),
        "u_plot": rng.normal(size=(4, 6, q) if several else (4, 6)),
        "sigma": rng.uniform(0.5, 2.0, 4),
    }
    if recipe.has_intercept:
        draws["Intercept"] = rng.normal(size=4)
        draws["L_plot"] = np.array([[[1.0, 0.0], [r, np.sqrt(1 - r * r)]] for r in (-0.9, 0.0, 0.3, 0.99)])
    own = recipe.to_table_units(draws)
    x, group = table.values["x"], table.values["plot"]
    z = table.values["z_plot"].reshape(48, q)
    u = draws["u_plot"].reshape(4, 6, q)
    scaled = draws.get("Intercept", np.zeros(4))[:, None] + draws["b"] @ x.T + np.sum(u[:, group] * z, axis=-1)
    raw_u = own["u_plot"].reshape(4, 6, q)
    raw = own.get("Intercept", np.zeros(4))[:, None] + own["b"] @ raw_columns(recipe, table.values).T
    raw += np.sum(raw_u[:, group] * z * term.scales, axis=-1)
    assert_allclose(raw, recipe.scaling.target_mean + recipe.scaling.target_sd * scaled, rtol=1e-9)
    assert_allclose(own["sigma"], draws["sigma"] * recipe.scaling.target_sd)
    # A scale and its effects convert alike, so that u / sd is what it was.
    assert_allclose(own["u_plot"] / own["sd_plot"][:, None], draws["u_plot"] / draws["sd_plot"][:, None])
    if several:
        assert_allclose(own["cor_plot"][:, 0], [-0.9, 0.0, 0.3, 0.99])


def test_table_units_of_cutpoints_and_classes_give_the_same_predictors():
    rng = np.random.default_rng(1)
    ordinal, table = fit("grade ~ rain + soil", family="ordinal")
    draws = {"b": rng.normal(size=(5, 3)), "cutpoints": np.sort(rng.normal(size=(5, 3)), axis=1)}
    own, raw = ordinal.to_table_units(draws), raw_columns(ordinal, table.values)
    for k in range(3):
        expected = draws["cutpoints"][:, k, None] - draws["b"] @ table.values["x"].T
        assert_allclose(own["cutpoints"][:, k, None] - own["b"] @ raw.T, expected, atol=1e-9)
    classes, table = fit("colour ~ rain + soil", family="categorical")
    draws = {"b": rng.normal(size=(5, 3, 2)), "Intercept": rng.normal(size=(5, 2))}
    own, raw = classes.to_table_units(draws), raw_columns(classes, table.values)
    for k in range(2):
        expected = draws["Intercept"][:, k, None] + draws["b"][:, :, k] @ table.values["x"].T
        assert_allclose(own["Intercept"][:, k, None] + own["b"][:, :, k] @ raw.T, expected, atol=1e-9)


def test_labels_say_what_a_person_would():
    recipe, _ = fit("height ~ rain + (rain | plot)")
    labels = recipe.table_labels({"sigma": ("sigma",)})
    assert labels["Intercept"] == ("Intercept",) and labels["b"] == ("rain",)
    assert labels["sd_plot"] == ("sd_plot[Intercept]", "sd_plot[rain]")
    assert labels["cor_plot"] == ("cor_plot[Intercept, rain]",)
    assert labels["u_plot"][:3] == ("plot[p0, Intercept]", "plot[p0, rain]", "plot[p1, Intercept]")
    by_class, _ = fit("colour ~ rain + (1 | plot)", family="categorical")
    labels = by_class.table_labels({})
    assert labels["b"] == ("rain, red", "rain, white")
    assert labels["sd_plot"] == ("sd_plot[Intercept, red]", "sd_plot[Intercept, white]")
    ordinal, _ = fit("grade ~ rain", family="ordinal")
    assert ordinal.entries["cutpoints:0"] == ["1|2", "2|3", "3|4"]


@pytest.mark.parametrize(
    ("formula", "family", "message"),
    [
        ("height ~ rian", "normal", "no column 'rian'. Columns: .* Did you mean 'rain'"),
        ("hieght ~ rain", "normal", "no column 'hieght'.* Did you mean 'height'"),
        ("height ~ rain + (1 | plto)", "normal", "no column 'plto'.* Did you mean 'plot'"),
        ("height ~ log(rian)", "normal", "no column 'rian'"),
        ("height ~ lug(rain)", "normal", r"'lug\(rain\)' cannot be evaluated: .*'lug' is not defined"),
        (
            "height ~ rain + (1 | area)",
            "normal",
            r"group 'area' holds measurements, such as .*an effect, \(x \| group\)",
        ),
        ("height ~ log(rain - 60)", "normal", r"'log\(rain - 60\)' is no finite number in \d+ rows"),
        ("height ~ rain + I(0 * rain)", "normal", r"column 'I\(0 \* rain\)' does not vary"),
        ("height ~ rain + (1 + rain | plot) + (1 | plot)", "normal", "'Intercept' varies by 'plot' twice"),
        ("height ~ (0 | plot)", "normal", "nothing varies in"),
        ("height ~ 0", "normal", "nothing is left to explain"),
        ("height ~ rain + offset(3)", "normal", "offset '\\(3\\)' mentions no column"),
        ("height ~ (I(rain + 5000) | plot)", "normal", r"would be that at 0, \d+ sds away. Subtract"),
        ("height ~ 0 + rain", "bernoulli", "has 48 distinct values"),
        ("colour ~ rain", "normal", "holds class labels"),
        ("colour ~ rain", "ordinal", "holds text, such as '.*', whose order is not known"),
        ("grade ~ 0 + rain", "ordinal", "the cutpoints of family 'ordinal' are its intercepts"),
        ("height ~ rain", "poisson", "cannot be counts"),
        ("height ~ rain", "beta", "not between 0 and 1"),
        ("sprouts ~ rain", "gamma", "not above 0"),
        ("sprouts ~ rain", "binomial", "needs the trials of each row"),
        ("cbind(seeds, sprouts - seeds) ~ rain", "binomial", "more successes than trials"),
        ("cbind(sprouts, seeds - sprouts) ~ rain", "poisson", "family 'poisson' takes no trials"),
        ("colour ~ rain + offset(area)", "categorical", "takes no offset"),
        ("colour ~ rain + (rain | plot)", "categorical", r"without correlations. Write \(rain \|\| plot\)"),
    ],
)
def test_what_does_not_suit_is_refused_with_the_cure(formula, family, message):
    with pytest.raises(InputError, match=message):
        fit(formula, family=family)


def test_more_is_refused():
    frame = plants()
    with pytest.raises(InputError, match="a column cannot be called 'Intercept'"):
        fit("height ~ Intercept", frame.rename({"rain": "Intercept"}))
    with pytest.raises(InputError, match="column 'soil' is constant"):
        fit("height ~ soil", frame.with_columns(soil=pl.lit("clay")))
    with pytest.raises(InputError, match="--categorical 'height': the formula has no effect of it"):
        fit("height ~ rain", categorical=["height"])
    with pytest.raises(InputError, match=r"family 'bernoulli' takes no weights. Repeat the rows"):
        fit("alive ~ rain", family="bernoulli", weights="area")
    with pytest.raises(InputError, match="weights must be above 0"):
        fit("height ~ rain", weights="area - 2")
    with pytest.raises(InputError, match="trials are given twice"):
        fit("cbind(sprouts, seeds - sprouts) ~ rain", family="binomial", trials="seeds")
    with pytest.raises(InputError, match="group 'plot' has 1 level"):
        fit("height ~ (1 | plot)", frame.with_columns(plot=pl.lit("p")))
    with pytest.raises(InputError, match=r"stands in backticks: `rain.mm`"):
        fit("height ~ rain.mm", frame.rename({"rain": "rain.mm"}))
    words = pl.concat([frame, frame]).with_columns(word=pl.int_range(96).cast(pl.String) + "w")
    with pytest.raises(InputError, match=r"'word' has 96 levels of words; .* let effects vary by it: \(1 \| word\)"):
        fit("height ~ word", words)
    with pytest.raises(InputError, match="without an intercept the response"):
        fit("height ~ 0 + rain", frame.with_columns(height=pl.col("height") * 1e-6 + 1e3))


def test_without_formulaic_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(InputError, match=r"pip install posterity\[formula\]"):
        fit("height ~ rain")
