"""The page on the paper: verdicts, seeds, references, claims and gaps, each from a few synthetic rows."""

import math

import numpy as np
import pytest
from study_modules import study

paper_cells, report_rows, verdicts = study("judging.paper_cells"), study("judging.values"), study("judging.verdicts")
contrasts, claims, gaps = study("judging.contrasts"), study("judging.claims"), study("page.gaps")
report, records, report_figures = study("page.page"), study("page.records"), study("page.figures")
Key, Study = paper_cells.Key, report_rows.Study
CELLS = paper_cells.read_cells()
NETWORK = "transformer/diagonal/reverse"  # 28.7 ± 0.3 in LR 100D, where the exact posterior's loss is about 25


def row(value, method=NETWORK, column="LR 100D", measure="loss", *, se=0.1, seed=0, setup="fixed", **other):
    """A row with one metric, or with all of `metrics`."""
    metrics = {measure: {"mean": value, "se": se}}
    common = {"preset": "laptop", "task": "a", "commit": "0", "machine": "none", "steps": 2000, "train_seconds": 1.0}
    where = {"setup": setup, "column": column, "method": method, "stream": "own", "seed": seed}
    return {**common, **where, "metrics": metrics, **other}


def cell(method=NETWORK, column="LR 100D", table="1"):
    return next(c for c in CELLS if (c.table, c.column, c.method) == (table, column, method))


def verdict(*rows, **which):
    return verdicts.judge(cell(**which), Study(rows))


# --- verdicts


@pytest.mark.parametrize(
    ("value", "se", "word"),
    [
        (28.7 + 1.4, 0.0, "reproduced"),  # 5% of 28.7 is 1.435
        (28.7 + 1.5, 0.0, "not reproduced"),
        (28.7 - 1.5, 0.0, "improved"),
        (28.7 + 3.1, 1.0, "reproduced"),  # 3 sqrt(1 + 0.09) is 3.13
        (28.7 + 3.2, 1.0, "not reproduced"),
        (math.nan, 0.0, "not reproduced"),
    ],
)
def test_tolerance_is_three_errors_or_five_percent(value, se, word):
    assert verdict(row(value, se=se)).word == word


@pytest.mark.parametrize(
    ("value", "word"), [(69.7, "reproduced"), (70.9, "improved"), (66.8, "reproduced"), (66.6, "not reproduced")]
)
def test_accuracies_have_two_points_and_go_the_other_way(value, word):
    which = {"method": "transformer/flow/reverse", "column": "LC 100D"}  # 68.7 ± 0.1
    assert verdict(row(value, measure="accuracy", **which), **which).word == word


def test_a_value_within_the_rounding_is_reproduced():
    which = {"method": "gru/diagonal/reverse", "column": "LR 1D"}  # 0.03: 5% of it is less than half a unit
    rows = [row(0.0345, measure="symmetric_kl_per_latent", se=0.0, **which)]
    assert verdicts.judge(cell(**which, table="5"), Study(rows)).word == "reproduced"


def test_a_narrow_answer_is_no_improvement_on_the_exact_posterior():
    """The mean-field optimum scores 13 where the exact posterior scores 25: better in loss, and a worse posterior."""
    exact = row(25.1, "exact")
    narrow = verdict(row(13.1), exact)
    assert narrow.word == "not reproduced"
    assert "our value lies below the exact posterior's" in narrow.reason
    assert verdict(row(13.1)).word == "improved"  # nothing exact to tell
    assert verdict(row(25.3), exact).word == "improved"


def test_a_paper_value_below_the_exact_posterior_is_named():
    found = verdict(row(25.0, "hmc"), row(25.1, "exact"), method="hmc")  # the paper: 18.7
    assert found.word == "not reproduced"
    assert "the paper's value lies below the exact posterior's" in found.reason
    assert "ours is nearer" in found.reason


def test_training_length_is_a_reason_for_networks_only():
    assert "trained 2,000 steps against the paper's 50,000" in verdict(row(60.0)).reason
    assert "trained" not in verdict(row(60.0, "hmc"), method="hmc").reason


def test_a_prior_is_never_improved():
    found = verdict(row(100.0, "prior"), method="prior")
    assert (found.word, "nothing is trained here" in found.reason) == ("not reproduced", True)


def test_missing_rows_and_missing_metrics_are_not_run():
    assert verdict().word == "not run"
    assert verdict(row(1.0, measure="elbo")).word == "not run"


def test_real_tables_have_no_error_over_datasets():
    """The tables are the paper's own, and far apart: their spread would excuse everything."""
    which = {"method": NETWORK, "column": "LR"}  # 7.30 ± 0.21
    assert verdicts.judge(cell(**which, table="3"), Study([row(9.0, se=2.0, setup="tabular", **which)])).word != (
        "reproduced"
    )


@pytest.mark.parametrize(
    ("tables", "word", "reason"),
    [
        (9, "reproduced", "within"),
        (5, "not comparable", "over 5 of the paper's 9 tables"),
        (0, "not comparable", "over other tables"),
    ],
)
def test_averages_over_other_tables_are_not_compared(tables, word, reason):
    which = {"method": NETWORK, "column": "LR"}
    rows = [row(7.3, setup="tabular", num_in_paper=tables, **which)]
    found = verdicts.judge(cell(**which, table="3"), Study(rows))
    assert (found.word, reason in found.reason) == (word, True)


# --- references


@pytest.mark.parametrize(("share", "method", "exact"), [(1.0, "nuts", True), (0.5, "best_diagonal_reverse", False)])
def test_nuts_is_a_reference_only_where_it_converged(share, method, exact):
    nuts = row(25.0, "nuts")
    nuts["metrics"]["converged"] = {"mean": share, "se": 0.0}
    rows = Study([nuts, row(13.0, "best_diagonal_reverse"), row(60.0)])
    found = verdicts.reference_of(rows, "fixed", "LR 100D", "loss")
    assert (found.method, found.exact) == (method, exact)
    assert ("reference did not converge" in verdicts.judge(cell(), rows).reason) == (not exact)


def test_the_exact_posterior_comes_first():
    rows = Study([row(13.0, "best_diagonal_reverse"), row(25.1, "exact")])
    assert verdicts.reference_of(rows, "fixed", "LR 100D", "loss").method == "exact"


# --- rows


def test_several_seeds_give_their_mean_and_its_error():
    found = Study([row(v, seed=i, se=0.5) for i, v in enumerate((1.0, 2.0, 3.0))]).estimate(
        Key("fixed", "LR 100D", NETWORK), "loss"
    )
    assert (found.value, found.num_seeds, found.dataset_error) == (2.0, 3, 0.5)
    assert found.error == pytest.approx(1.0 / math.sqrt(3.0))


def test_one_seed_has_its_error_over_datasets():
    found = Study([row(1.0, se=0.5)]).estimate(Key("fixed", "LR 100D", NETWORK), "loss")
    assert (found.error, found.num_seeds) == (0.5, 1)


def test_a_later_row_replaces_its_seed_and_a_larger_preset_the_smaller():
    key = Key("fixed", "LR 100D", NETWORK)
    assert Study([row(1.0), row(2.0)]).estimate(key, "loss").value == 2.0
    assert Study([row(1.0, preset="paper"), row(2.0)]).estimate(key, "loss").value == 1.0


def test_a_missing_error_counts_as_none_given():
    assert Study([row(1.0, se=None)]).estimate(Key("fixed", "LR 100D", NETWORK), "loss").error == 0.0


# --- comparisons and claims


def keys(*methods):
    return [Key("fixed", "LR 100D", method) for method in methods]


def test_seeds_are_paired():
    """All seeds move by 10 together, and the difference by 0.2 only."""
    values = {"gru/flow/reverse": (10.0, 20.0, 30.0), "deep_sets/flow/reverse": (11.0, 21.2, 31.1)}
    rows = Study([row(v, m, seed=i) for m, each in values.items() for i, v in enumerate(each)])
    found = contrasts.measured(contrasts.gain(*keys(*values), "loss"), rows)
    assert (found.value, found.error) == (pytest.approx(1.1), pytest.approx(0.1 / math.sqrt(3.0)))
    assert (found.finding, found.pairing) == ("for", "3 seeds")


@pytest.mark.parametrize(("pairs", "finding"), [(2, "undecided"), (3, "undecided"), (4, "for")])
def test_few_pairs_have_to_agree_the_better(pairs, finding):
    """3.3 standard errors from zero: t at 5% asks for 12.7, 4.3 and 3.2 with 1, 2 and 3 degrees of freedom."""
    assert contrasts.Difference(3.3, 1.0, "", pairs - 1).finding == finding


@pytest.mark.bench
def test_equal_methods_are_told_apart_as_rarely_as_stated():
    draws = np.random.default_rng(0).normal(size=(4000, 3))
    values = ({i: v for i, v in enumerate(each)} for each in draws)
    zeros = dict.fromkeys(range(3), 0.0)
    found = [contrasts.paired((1.0, -1.0), (each, zeros), "seeds").finding for each in values]
    rate = 1.0 - found.count("undecided") / len(found)
    assert abs(rate - contrasts.FALSE_ALARMS) < 4.0 * math.sqrt(0.05 * 0.95 / 4000)  # false alarms of this test: 1e-4


def test_single_seeds_are_not_paired():
    rows = Study([row(10.0, "gru/flow/reverse", se=3.0), row(11.0, "deep_sets/flow/reverse", se=4.0)])
    found = contrasts.measured(contrasts.gain(*keys("gru/flow/reverse", "deep_sets/flow/reverse"), "loss"), rows)
    assert (found.value, found.error, found.finding, found.pairing) == (1.0, 5.0, "undecided", "1 seed")


def test_single_seeds_are_paired_by_dataset_where_rows_have_them():
    """Datasets differ by far more than methods do."""
    values = {"gru/flow/reverse": [1.0, 50.0, 9.0], "deep_sets/flow/reverse": [2.0, 51.2, 10.1]}
    entries = {m: {"loss": {"mean": sum(v) / 3, "se": 15.0, "by_dataset": v}} for m, v in values.items()}
    rows = [row(0.0, m, metrics=metrics) for m, metrics in entries.items()]
    contrast = contrasts.gain(*keys(*values), "loss")
    found = contrasts.measured(contrast, Study(rows))
    assert (found.value, found.error) == (pytest.approx(1.1), pytest.approx(0.1 / math.sqrt(3.0)))
    assert (found.finding, found.pairing) == ("for", "3 datasets")
    del entries["gru/flow/reverse"]["loss"]["by_dataset"]
    assert contrasts.measured(contrast, Study(rows)).pairing == "1 seed"


def test_real_tables_are_paired():
    """Tables differ by far more than methods do; those that only one method has do not count."""
    scores = {
        "gru/flow/reverse": {"a": 1.0, "b": 50.0, "c": 3.0, "e": 9.0},
        "gru/flow/forward": {"a": 2.0, "b": 51.2, "c": 4.1, "d": 0.0},
    }
    rows = Study([row(9.0, m, "LR", se=20.0, setup="tabular", tables=found) for m, found in scores.items()])
    found = contrasts.measured(contrasts.gain(*(Key("tabular", "LR", m) for m in scores), "loss"), rows)
    assert (found.value, found.error) == (pytest.approx(1.1), pytest.approx(0.1 / math.sqrt(3.0)))
    assert (found.finding, found.pairing) == ("for", "3 tables")


def test_a_contrast_turns_with_its_measure():
    metrics = {"loss": {"mean": 10.0, "se": 0.0}, "log_predictive": {"mean": -1.0, "se": 0.0}}
    worse = {"loss": {"mean": 12.0, "se": 0.0}, "log_predictive": {"mean": -4.0, "se": 0.0}}
    rows = Study([row(0, "gru/flow/reverse", metrics=metrics), row(0, "deep_sets/flow/reverse", metrics=worse)])
    contrast = contrasts.gain(*keys("gru/flow/reverse", "deep_sets/flow/reverse"), "loss")
    assert contrasts.measured(contrast, rows).value == 2.0
    assert contrasts.measured(contrast.by("log_predictive"), rows).value == 3.0
    assert contrasts.measured((contrast + -contrast), rows).value == 0.0


def test_presets_are_not_compared_with_each_other():
    rows = Study([row(10.0, "gru/flow/reverse", preset="paper"), row(11.0, "deep_sets/flow/reverse")])
    assert contrasts.measured(contrasts.gain(*keys("gru/flow/reverse", "deep_sets/flow/reverse"), "loss"), rows) is None


def test_the_papers_own_comparison():
    paper = contrasts.by_key(CELLS)
    keys = [Key("fixed", "GMM 5D 2cl", f"transformer/flow/{objective}") for objective in ("forward", "reverse")]
    assert contrasts.in_paper(contrasts.gain(*keys, "w2"), paper) == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("findings", "word"),
    [
        (["for", "for", "undecided"], "holds"),
        (["against", "against", "for"], "does not hold"),
        (["for", "undecided"], "undecided"),
        (["for", "undecided", "undecided"], "undecided"),
        (["for", "against"], "mixed"),
        (["for", "against", "for", "against", "undecided"], "mixed"),
        (["for", None, None, None], "not enough rows"),
    ],
)
def test_verdicts_on_claims(findings, word):
    values = {"for": 1.0, "against": -1.0, "undecided": 0.0}
    found = [name and contrasts.Difference(values[name], 0.1, "") for name in findings]
    assert claims.claim_verdict(found) == word


@pytest.mark.parametrize(("reverse", "word"), [(3.0, "holds"), (1.0, "does not hold")])
def test_lost_modes(reverse, word):
    values = {"forward": 1.2, "reverse": reverse}
    rows = [
        row(v, f"{e}/flow/{o}", "GMM 5D 2cl", "w2", seed=s, se=0.01)
        for e in paper_cells.ENCODERS
        for o, v in values.items()
        for s in (0, 1)
    ]
    (claim,) = (c for c in claims.CLAIMS if c.name == "Reverse KL loses modes")
    found = claims.differences(claim, Study(rows), contrasts.by_key(CELLS))
    assert claims.claim_verdict([difference for _, difference in found]) == word


def test_claims_without_rows_are_not_judged():
    paper = contrasts.by_key(CELLS)
    for claim in claims.CLAIMS:
        found = claims.differences(claim, Study([]), paper)
        assert found
        assert claims.claim_verdict([difference for _, difference in found]) == "not enough rows"


def test_claims_about_networks_are_compared_on_the_main_tables_and_the_small_tasks():
    columns = claims.main_columns(contrasts.by_key(CELLS))
    assert len(columns) == len(set(columns)) == 21
    assert {("fixed", "LR 100D"), ("variable", "NLC 50D"), ("fixed", "LR 2D"), ("fixed", "NLC 2D")} <= set(columns)
    assert ("fixed", "NLR tanh-1L 1D") not in columns  # in the appendix alone


def test_the_champion_meets_the_best_of_the_others():
    rows = [row(v, m) for m, v in (("transformer/flow/reverse", 29.0), (NETWORK, 28.0), ("gru/flow/forward", 90.0))]
    (claim,) = (c for c in claims.CLAIMS if c.name == "Best in high dimension")
    found = [(c, d) for c, d in claims.differences(claim, Study(rows), contrasts.by_key(CELLS)) if d]
    ((contrast, difference),) = found
    assert "Transformer, diagonal Gaussian, reverse KL" in contrast.what
    assert (difference.value, difference.finding) == (-1.0, "against")


# --- gaps and records


def test_amortization_and_family_gaps():
    bounds = {NETWORK: -130.0, "best_diagonal_reverse": -110.0, "exact": -100.0, "transformer/flow/reverse": -120.0}
    found = gaps.gaps(Study([row(v, m, measure="elbo") for m, v in bounds.items()]))
    assert [(gap.key.method, gap.amortization, gap.family) for gap in found] == [(NETWORK, 20.0, 10.0)]


def test_records_take_the_answer_nearest_to_the_exact_posterior():
    rows = Study([row(13.0), row(25.3, "informed"), row(25.1, "exact")])
    section = records.records_section(rows, CELLS)
    (line,) = (line for line in section.splitlines() if line.startswith("| fixed, LR 100D | loss"))
    assert "28.7 ± .3" in line
    assert "| improved |" in line


# --- the page


def some_rows():
    """A column with networks, references and everything else that a row can hold, a question, and an odd column."""
    extra = {"elbo": {"mean": -9.0, "se": 0.1}, "log_predictive": {"mean": -1.0, "se": 0.1}, "sbc_p": {"mean": 0.4}}
    yield from (row(29.5 + s, seed=s, metrics={"loss": {"mean": 29.5 + s, "se": 0.2}, **extra}) for s in (0, 1))
    yield row(13.0, "best_diagonal_reverse", metrics={"loss": {"mean": 13.0, "se": 0.2}, "elbo": {"mean": -5.0}})
    yield row(25.1, "exact", metrics={"loss": {"mean": 25.1, "se": 1.6}, "elbo": {"mean": -3.0}})
    yield row(1.0, column="XY 3D")
    yield {"setup": "question", "question": "modes", "preset": "laptop", "method": "a", "found": True, "seed": 0,
           "metrics": {"modes_found": {"mean": 1.5, "se": 0.25}}, "commit": "0", "machine": "none"}  # fmt: skip


def test_without_rows_every_cell_is_there_and_not_run():
    page = report.page(Study([]), CELLS)
    lines = page[page.index("## Table 1:") : page.index("## Tables 7-14")].splitlines()
    full = [c for c in CELLS if c.table in "123456"]
    assert sum(line.endswith("| not run |  |") for line in lines) == len(full)
    for c in full:
        printed = c.printed.replace("±", " ± ")
        assert f"| {paper_cells.label(*c.key[2:])} | {printed} | not run |  | not run |  |" in lines
    for c in CELLS:
        assert c.printed in page or c.printed.replace("±", " ± ") in page
    assert "not enough rows" in page


def test_with_rows():
    page = report.page(Study(some_rows()), CELLS)
    line = "| Transformer, diagonal Gaussian, reverse KL | 28.7 ± .3 | 30 ± 0.5 (2 seeds) | 3.6 | 4.9 | 2,000, laptop |"
    assert line in page
    assert "| 1 | 128 | 1 | 1 | 0 | 0 | 0 | 127 | 0 |" in page
    assert "| laptop | 1 | 2,000 to 2,000 | 4.00% to 4.00% |" in page  # the odd column has no length of the paper's
    assert "Measured, but in none of the paper's tables: fixed, XY 3D." in page
    assert "1.5 ± 0.25" in page
    assert "| fixed, LR 100D | Transformer, diagonal Gaussian, reverse KL | 4 | 2 |" in page  # the gaps


@pytest.mark.bench
def test_figures_are_the_same_for_the_same_rows(tmp_path):
    pytest.importorskip("matplotlib")
    rows = Study(row for row in some_rows() if row.get("column") != "XY 3D")
    names = report_figures.figures(rows, CELLS)
    assert names == ["study_table_1", "study_gaps"]
    for folder, name in (("first", "study_table_1"), ("first", "study_gaps"), ("second", "study_gaps")):
        report_figures.draw(rows, CELLS, name, tmp_path / folder)
    first, second = (tmp_path / folder / "study_gaps.svg" for folder in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert "LR 100D" in (tmp_path / "first" / "study_table_1.svg").read_text()
    assert report_figures.figures(Study([]), CELLS) == []
