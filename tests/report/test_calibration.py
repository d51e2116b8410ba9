"""The report of a check: one file, right about which cells are calibrated, with figures of what was found."""

import dataclasses
import re

import numpy as np
import pytest
from report.test_report import Outline, text_of

from posterity.calibration.cells import Cell
from posterity.calibration.comparison import compare, stack_comparisons
from posterity.calibration.judgement import judge_posteriors
from posterity.calibration.outcome import cell_name, outcome_of
from posterity.calibration.report import CellReport, Details
from posterity.calibration.simulation import Points
from posterity.report.calibration import check_report_html, write_check_report
from posterity.report.calibration_figures import coverage_panels, p_text, rank_panels, z_score_panels
from posterity.runtime.errors import InputError

NUM_DATASETS, NUM_DRAWS = 60, 100


def made_up(rows=8, features=2, *, stretch=1.0, with_corrected=True):
    """A cell in which z ~ N(0, I) was observed with unit noise, so the posterior is N(x / 2, 1/2)."""
    rng = np.random.default_rng(rows + features)
    equal = np.full(NUM_DRAWS, 1.0 / NUM_DRAWS)
    found = {"raw": [], "corrected": []}
    for _ in range(NUM_DATASETS):
        true = rng.normal(size=3)
        mean = (true + rng.normal(size=3)) / 2.0
        for name, scale in (("raw", stretch), ("corrected", 1.0)):
            z = np.vstack([true, mean + scale * 0.5**0.5 * rng.normal(size=(NUM_DRAWS, 3))])
            log_joint = -np.sum((z - mean) ** 2, axis=1)
            points = Points(z, z, log_joint, log_joint / scale**2)
            found[name].append(compare(points, equal, rng.normal(size=3), np.ones(3), rng))
    labels = ("w[0]", "w[1]", "<b>")
    raw, corrected = (stack_comparisons(found[name]) for name in ("raw", "corrected"))
    return CellReport(
        cell=Cell(rows, {"features": features}),
        num_datasets=NUM_DATASETS,
        num_draws=NUM_DRAWS,
        num_latents=3,
        ess_fraction=0.87,
        healthy=0.98,
        trusted=0.95 if with_corrected else 0.1,
        forward_nll=1.0,
        elbo=-1.0,
        contraction=0.5,
        raw=judge_posteriors(raw, labels, rng),
        corrected=judge_posteriors(corrected, labels, rng) if with_corrected else None,
        details=Details(
            labels,
            raw,
            corrected if with_corrected else None,
            np.full(NUM_DATASETS, 0.87),
            np.full(NUM_DATASETS, 0.2),
            1.0 - raw.sd**2,
        ),
    )


@pytest.fixture(scope="module")
def good():
    return [made_up(rows, features) for rows in (8, 16) for features in (1, 2)]


@pytest.fixture(scope="module")
def wide():
    return made_up(stretch=3.0)


def outline_of(report):
    outline = Outline()
    outline.feed(report)
    return outline


def test_it_is_one_small_file_that_needs_nothing_else(good):
    report = check_report_html(good, model="a <model>", notes=["A note & more."], command="posterity check 'x y'")
    outline = outline_of(report)
    assert outline.open == [] and outline.foreign == []
    assert "url(" not in report and "http" not in report and "@import" not in report
    assert "<b>" not in report and "a &lt;model&gt;" in report and "A note &amp; more." in report
    assert not re.findall(r'(?:points|c[xy]|[xy][12]?|width|height)="[^"]*(?:nan|inf)', report)
    pictures = re.findall(r"<svg[^>]*>(?:<title>)?", report)
    assert all('aria-hidden="true"' in one or ("role" in one and one.endswith("<title>")) for one in pictures)


def test_the_verdict_comes_first(good):
    report = check_report_html(good, model="m", seconds=12.0, seed=5)
    assert outline_of(report).headings == [
        "Corrected answers are calibrated in all 4 cells.",
        "What to know",
        "Every cell",
        "Where the weights are healthy",
        "Ranks of the truth",
        "Truths inside regions and intervals",
        "Recovery: 16 rows, 1 features",
        "How much was learned, and in the right place?",
        "How it was made",
    ]
    text = text_of(report)
    assert 'class="verdict corrected"' in report and "q itself is calibrated in 4 of 4 cells" in text
    assert "0.4% for this report" in text and "seed 5 " in text and "12 s" in text
    assert report.count("--share:0.870") == 4 and report.count("--share:0.950") == 4


def test_cells_that_are_not_calibrated_are_named(good, wide):
    wrong = dataclasses.replace(wide, corrected=wide.raw)
    report = check_report_html([*good, wrong], model="m")
    assert "Corrected answers are not calibrated in 1 of 5 cells." in outline_of(report).headings
    assert f"Not calibrated: {cell_name(wide)}." in text_of(report)
    assert 'class="verdict untrusted"' in report and report.count('<span class="no">') == 2
    only_raw = check_report_html([*good, wide], model="m")
    assert 'class="verdict corrected"' in only_raw and "calibrated in 4 of 5 cells" in text_of(only_raw)


def test_cells_without_enough_answers_are_not_called_calibrated(good):
    few = made_up(rows=99, with_corrected=False)
    report = check_report_html([*good, few], model="m")
    assert 'class="verdict refined"' in report and "10% to 95% of the datasets" in text_of(report)
    assert "in the 4 of 5 cells that could be judged" in text_of(
        report
    ) and "figures show q as it is: 99 rows" in text_of(report)


def test_nothing_is_called_calibrated_where_nothing_was_judged():
    wide_and_few = made_up(stretch=3.0, with_corrected=False)
    outcome = outcome_of([wide_and_few])
    assert outcome.kind == "not judged"
    assert outcome.headline.startswith("Nothing could be judged") and outcome.headline.endswith("calibrated in 0.")
    assert 'class="verdict untrusted"' in check_report_html([wide_and_few], model="m")


def test_figures_show_the_most_uneven_ranks(good, wide):
    """Too wide: ranks pile up in the middle, so the curve lies below its band first and above it later."""
    few = made_up(stretch=3.0, with_corrected=False)
    figures = rank_panels([few])
    assert figures.count("<figure>") == 2 and 'class="raw-line"' in figures and "corrected-line" not in figures
    assert "p &lt;0.0001" in figures
    latent = next(one for one in figures.split("<figure>") if "log joint" not in one and "raw-line" in one)
    points = re.search(r'class="raw-line" points="([^"]+)"', latent)[1].split()
    heights = -np.array([float(point.split(",")[1]) for point in points])
    quarter = len(heights) // 4
    assert heights[quarter] < heights[0] < heights[3 * quarter]
    assert rank_panels([*good, wide]).count("<figure>") == 6
    assert coverage_panels([*good, wide]).count("<figure>") == 6


def test_z_scores_of_all_cells_are_pooled_by_site(good):
    found = z_score_panels(good)
    assert re.findall(r"<title>z-scores of (\S+) against", found) == ["w", "&lt;b&gt;"]
    rms = np.mean([np.mean(((r.true - r.mean) / r.sd)[:, :2] ** 2) for r in (one.details.raw for one in good)]) ** 0.5
    assert f"w: root mean square z-score {rms:.2f}" in found


def test_p_values_are_short():
    assert [p_text(p) for p in (0.0, 1e-5, 0.00042, 0.5, 1.0)] == ["<0.0001", "<0.0001", "0.00042", "0.5", "1"]


def test_latents_without_spread_do_not_stop_it(good):
    """The diagonal of a Cholesky factor of correlations holds a 1 in every draw."""
    raw = good[0].details.raw
    still = raw._replace(
        **{name: getattr(raw, name) * [1.0, 1.0, 0.0] for name in ("true", "mean", "sd", "low", "high")}
    )
    contraction = good[0].details.contraction * [1.0, 1.0, np.nan]
    details = dataclasses.replace(good[0].details, raw=still, corrected=None, contraction=contraction)
    report = check_report_html([dataclasses.replace(good[0], details=details, corrected=None)], model="m")
    assert outline_of(report).open == [] and "nan" not in text_of(report)


def test_a_file_is_whole_or_absent(good, tmp_path):
    path = tmp_path / "check.html"
    write_check_report(good, path, model="m")
    assert path.read_text().startswith("<!doctype html>") and list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="cannot write"):
        write_check_report(good, tmp_path / "none" / "check.html", model="m")
