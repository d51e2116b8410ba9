"""The report as a whole: one file, verdict first, right about the data, and whole or absent."""

import dataclasses
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report import cases
from report.cases import NUM_DRAWS, NUM_ROWS, make_posterior

import posterity.report.check
import posterity.report.draws
import posterity.results.arviz
import posterity.results.predict
from posterity import MODELS
from posterity.report import report_html, write_report
from posterity.report.check import predictive_check
from posterity.runtime.errors import InputError
from posterity.runtime.keys import key_for
from posterity.tables import Recipe, Scaling

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(HTMLParser):
    """Tags that are open, headings, and whatever would need a network or run code."""

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.foreign = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.foreign += [tag] * (tag in ("script", "link", "img", "iframe", "object"))
        self.foreign += [name for name in given if name in ("src", "href", "xlink:href") or name.startswith("on")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data.strip())


@pytest.fixture(scope="module")
def models():
    return {model.__name__: cases.model_of(model) for model in (cases.real, cases.binary, cases.count, cases.classes)}


@pytest.fixture(scope="module")
def real_report(models):
    return report_html(make_posterior(models["real"]), command="posterity infer <model> 'my data.csv'", seed=3)


def text_of(report):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", report))


def test_it_is_one_small_file_that_needs_nothing_else(real_report):
    outline = Outline()
    outline.feed(real_report)
    assert outline.open == [] and outline.foreign == []
    assert "url(" not in real_report and "http" not in real_report and "@import" not in real_report
    assert len(real_report.encode()) < 500_000
    assert "nan" not in re.findall(r'(?:points|c[xy]|[xy][12]?|width|height)="([^"]*nan[^"]*)"', real_report)


def test_it_suits_phones_dark_screens_and_readers_who_hear_it(real_report):
    assert 'name="viewport"' in real_report and "prefers-color-scheme: dark" in real_report
    assert '<html lang="en">' in real_report and "@media (max-width: 640px)" in real_report
    pictures = re.findall(r"<svg[^>]*>(?:<title>)?", real_report)
    assert len(pictures) > 8
    assert all('aria-hidden="true"' in one or ("role" in one and one.endswith("<title>")) for one in pictures)


def test_the_verdict_comes_first_with_its_numbers(real_report):
    outline = Outline()
    outline.feed(real_report)
    assert outline.headings[0] == "The computation can be relied on."
    assert outline.headings[1:] == [
        "What to know",
        "What the data say",
        "Each latent against its prior",
        "The most correlated pairs",
        "Would this model make such data?",
        "How it was made",
    ]
    text = text_of(real_report)
    assert f"rows {NUM_ROWS} " in text and f"{NUM_DRAWS} of {NUM_DRAWS}" in text
    assert "posterity infer &lt;model&gt; &#x27;my data.csv&#x27;" in real_report and "seed 3 " in text


def test_an_untrusted_posterior_says_so_and_why(models):
    heavy = 4.0 * np.random.default_rng(0).standard_cauchy(NUM_DRAWS)
    outside = "60 rows lie outside the training envelope 2..9"
    posterior = make_posterior(models["real"], log_ratios=heavy, outside=(outside,))
    assert posterior.verdict == "untrusted"
    report = report_html(posterior)
    text = text_of(report)
    assert 'class="verdict untrusted"' in report and "Do not rely on these numbers." in text
    assert "Run a sampler such as NUTS" in text and outside in text
    assert all(reason.split("%")[0][:30] in text for reason in posterior.reasons)


def test_draws_of_a_sampler_have_no_weights_to_tell_of(models):
    posterior = make_posterior(models["real"])
    moved = {site: values + 7.0 for site, values in posterior.proposed.items()}
    report = report_html(dataclasses.replace(posterior, verdict="refined", refined=moved))
    text = text_of(report)
    assert "a sampler started from them" in text and "k-hat" not in text
    low = re.search(r"Posterior of w\[age\]: median [\d.]+, middle 90% from ([\d.]+)", report)
    assert float(low[1]) > 7.0  # the figures are those of the sampler's draws


def test_weights_move_the_figures_with_the_numbers(models):
    """Weight only on draws with w[age] above 1: the middle 90% that the figure tells must lie there, too."""
    base = make_posterior(models["real"])
    ratios = np.where(base.proposed["w"][:, 0] > 1.0, 0.0, -50.0)
    posterior = make_posterior(models["real"], log_ratios=ratios)
    assert posterior.verdict == "corrected"
    low = re.search(r"Posterior of w\[age\]: median [\d.]+, middle 90% from ([\d.]+)", report_html(posterior))
    assert float(low[1]) > 0.999


def test_names_are_escaped(models):
    report = report_html(make_posterior(models["real"], names=("<b>", "a&b")), title="<script>alert(1)</script>")
    assert "<script" not in report and "w[&lt;b&gt;]" in report and "w[a&amp;b]" in report


def test_a_table_is_told_in_its_own_units():
    scaling = Scaling(("age", "bmi"), np.zeros(2), np.full(2, 0.5), 1000.0, 10.0)
    recipe = Recipe("data.csv", "income", "y", "real", (), "x", ("age", "bmi"), ("note",), scaling=scaling)
    posterior = make_posterior(
        MODELS["linear_regression"].read(2),
        data=cases.example(cases.real),
        draws={"b": np.random.default_rng(2).normal(0.0, 0.1, NUM_DRAWS).astype(np.float32)},
        recipe=recipe,
        dropped_rows=2,
        is_linear=True,
    )
    text = text_of(report_html(posterior))
    own = posterior.summary(units="table")["mean"][0]
    assert own == pytest.approx(20.0 * posterior.summary()["mean"][0])  # sd 10 of the target over sd 0.5 of age
    assert "In the units of the table" in text
    told = re.search(r"In the units of the table .*? w\[age\] ([\d.]+)", text)
    assert float(told[1]) == pytest.approx(own, abs=0.1)
    assert "2 rows with missing values were left out" in text and "does not take these columns: note" in text
    seen = re.search(
        r"income: observed and replicated; bold where outside .*? mean ([\d.,]+) ([\d.]+) to ([\d.]+)", text
    )
    observed, low, high = (float(number) for number in seen.groups())
    assert observed == pytest.approx(1000.0 + 10.0 * float(np.mean(posterior.observed["y"])), abs=0.1)
    assert low < observed < high


@pytest.mark.parametrize("kind", ["real", "binary", "count", "classes"])
def test_data_of_the_model_pass_its_check_and_others_do_not(models, kind):
    """At most a quarter of what is compared may miss 90% intervals by chance; shuffled or shifted data miss most."""
    model = models[kind]
    fair = predictive_check(make_posterior(model))
    data = cases.example(model.function)
    wrong = {
        "real": lambda y: y + 5.0,
        "binary": lambda y: 1 - y,
        "count": lambda y: y + 9,
        "classes": lambda y: np.ones_like(y),
    }[kind](data["y"])
    poor = predictive_check(make_posterior(model, data={**data, "y": wrong}))
    if kind == "real":
        assert fair.count('class="apart"') <= 1 and poor.count('class="apart"') == 3  # the sd is right
        inside = [int(re.search(r"(\d+)% of the rows lie inside", text)[1]) for text in (fair, poor)]
        assert inside[0] >= 75 and inside[1] == 0
        return
    pattern = r"(\d+) of (\d+) (?:groups|bars)"
    (found, total), (few, same) = [map(int, re.search(pattern, text).groups()) for text in (fair, poor)]
    assert found >= 0.75 * total and few <= 0.5 * same


def test_labels_of_classes_are_those_of_the_table(models):
    found = predictive_check(make_posterior(models["classes"]), classes=("red", "green", "blue"), target="colour")
    assert all(f">{label}</text>" in found for label in ("red", "green", "blue")) and ">colour</text>" in found
    yes = predictive_check(make_posterior(models["binary"]), classes=("no", "yes"))
    assert "probability of yes" in yes


def test_a_matrix_is_checked_column_by_column():
    found = predictive_check(make_posterior(cases.model_of(cases.matrix)))
    assert ">y[0]</text>" in found and ">y[1]</text>" in found and found.count("<table") == 2


def test_draws_that_are_not_finite_are_left_out_and_named(models):
    w = np.random.default_rng(1).normal(1.0, 0.1, (NUM_DRAWS, 2)).astype(np.float32)
    w[::2, 0] = np.nan
    report = report_html(make_posterior(models["real"], draws={"w": w}))
    assert "not finite and left out of the figures: w[age]." in report and "nan," not in report


def test_the_same_posterior_gives_the_same_report(models, real_report):
    again = report_html(make_posterior(models["real"]), command="posterity infer <model> 'my data.csv'", seed=3)
    date = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
    assert date.sub("", again) == date.sub("", real_report)


def test_no_two_purposes_of_a_seed_share_a_key(models, monkeypatch):
    """JAX's `split(key)[i]` equals `fold_in(key, i)`: two uses of one key would share their random numbers."""
    purposes = []

    def recorded(seed, purpose):
        purposes.append((seed, purpose))
        return key_for(seed, purpose)

    for module in (
        posterity.report.draws,
        posterity.report.check,
        posterity.results.arviz,
        posterity.results.predict,
    ):
        monkeypatch.setattr(module, "key_for", recorded)
    posterior = make_posterior(models["real"])
    report_html(posterior, seed=3)
    posterior.to_arviz(seed=3)
    posterior.predict({"x": posterior.covariates["x"]}, seed=3)
    assert len(purposes) == len(set(purposes)) == 6 and {seed for seed, _ in purposes} == {3}


def test_the_file_is_whole_or_as_it_was(models, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    unanswered = dataclasses.replace(make_posterior(models["real"]), verdict="unanswered", reasons=("No rows.",))
    with pytest.raises(InputError, match=r"report: the dataset has no posterior\. No rows"):
        unanswered.report(path)
    assert path.read_text() == "old"
    write_report(make_posterior(models["real"]), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>") and os.listdir(tmp_path) == ["report.html"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot write 'none/report.html': .* Choose a file"):
        write_report(make_posterior(models["real"]), "none/report.html")
