"""The report on many datasets: who stands apart, what is shrunk, and what failed."""

import re

import numpy as np
import polars as pl
import pytest

from posterity.report import write_groups_report
from posterity.report.groups import groups_report_html, spread_of

NUM = 400


def frame(means, sds, verdicts=None, label="slope"):
    names = [f"g{n}" for n in range(len(means))]
    return pl.DataFrame(
        {
            "name": names,
            "num_rows": [10] * len(names),
            "verdict": verdicts or ["corrected"] * len(names),
            "reasons": [["k-hat <9>"] if verdicts and verdicts[n] == "untrusted" else [] for n in range(len(names))],
            "latent": [label] * len(names),
            "mean": means,
            "sd": sds,
            "q05": np.array(means) - 1.64 * np.array(sds),
            "q95": np.array(means) + 1.64 * np.array(sds),
        }
    )


def population(between):
    rng = np.random.default_rng(1)
    truth = rng.normal(5.0, between, NUM)
    sds = rng.uniform(0.2, 2.0, NUM)
    return truth, frame(truth + sds * rng.normal(size=NUM), sds)


@pytest.mark.parametrize("between", [0.0, 0.5, 3.0])
def test_the_spread_of_a_population_is_found(between):
    found = spread_of(population(between)[1])
    error = 1.0 / np.sqrt(np.sum(1.0 / (found.sd**2 + between**2)))
    assert abs(found.centre - 5.0) < 5 * error  # once in 1e6
    assert abs(found.between - between) < 0.2 + 0.15 * between  # 4 standard errors of a population of 400, and more
    assert np.mean(np.abs(found.z) > 3.0) < 0.02  # expected 0.0027; more than 8 of 400 once in 1e5


def test_shrunken_means_are_nearer_to_the_truth():
    truth, table = population(0.5)
    found = spread_of(table)
    by_name = {f"g{n}": value for n, value in enumerate(truth)}
    right = np.array([by_name[name] for name in found.names])
    assert np.mean((found.shrunk - right) ** 2) < 0.6 * np.mean((found.mean - right) ** 2)
    assert np.all(np.abs(found.shrunk - found.centre) <= np.abs(found.mean - found.centre))


def test_a_report_names_who_stands_apart_and_what_failed(tmp_path):
    rng = np.random.default_rng(2)
    means = [*rng.normal(0.0, 1.0, 30), 40.0, 0.0]
    table = frame(means, [0.3] * 32, ["corrected"] * 31 + ["untrusted"], label="<slope>")
    text = groups_report_html(table, title="a & b")
    assert "31 of 32" in text and "1 of 32 answers cannot be used" in text
    assert re.search(r"g30: &lt;slope&gt; 40\.0+, others", text)
    assert "<slope>" not in text and "a &amp; b" in text
    assert "g31: k-hat &lt;9&gt;" in text
    write_groups_report(table, tmp_path / "r.html", title="t")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_two_datasets_or_none_have_no_spread():
    assert "Who stands apart" not in groups_report_html(frame([1.0, 2.0], [0.1, 0.1]), title="t")
    none = frame([1.0], [1.0]).with_columns(
        pl.lit(None, pl.String).alias("latent"), pl.lit("unanswered").alias("verdict")
    )
    assert "1 of 1 answers cannot be used" in groups_report_html(none, title="t")


def test_units_of_the_table_are_taken_where_there_are_any():
    table = frame([1.0, 2.0, 3.0], [0.1] * 3).with_columns(
        *[(10 * pl.col(name)).alias(f"table_{name}") for name in ("mean", "sd", "q05", "q95")]
    )
    assert spread_of(table).mean.tolist() == [10.0, 20.0, 30.0]
