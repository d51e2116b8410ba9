"""What one sees of an object: a few lines in a console, a fragment of HTML in a notebook."""

import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import posterity
from posterity.results.evidence import Evidence
from posterity.simulation.covariates import ResampledRows
from posterity.training.stream import RealRows

MOST_LINES, MOST_CHARACTERS = 16, 1600
ROWS = np.random.default_rng(0).normal(size=(500, 8))
DATASET = {"x": ROWS, "y": ROWS[:, 0] + np.random.default_rng(1).normal(size=500)}
TABLE = {**{f"column {i}": ROWS[:, i] for i in range(8)}, "y": DATASET["y"]}


@pytest.fixture(scope="module")
def posterior():
    return posterity.infer("linear_regression", DATASET, refine_seconds=0.0)


@pytest.fixture(scope="module")
def things(posterior):
    """Something of every public class, and what hangs on a posterior; large where it can be."""
    simulator = posterity.builtin_simulator("linear_regression", check=False)
    made = posterity.from_formula("y ~ `column 0` + `column 1`", TABLE)
    estimator = posterity.informed("linear_regression", DATASET)
    bad = {"x": np.zeros((4, 8)), "y": np.zeros(3)}
    return [
        *(
            posterity.Architecture(),
            posterity.Envelope(),
            posterity.TrainingConfig(steps=10),
            posterity.InputError("No."),
        ),
        *(posterity.ForwardKL(), posterity.ReverseKL(), posterity.SymmetricKL(), posterity.MODELS["linear_regression"]),
        *(
            posterity.Simulated(),
            posterity.ZScoredTables(),
            posterity.OtherModel(simulator),
            RealRows({"x": jnp.asarray(ROWS)}),
        ),
        *(posterity.StandardNormal(), posterity.TableLike(), ResampledRows({"x": jnp.asarray(ROWS)}), simulator),
        *(estimator, estimator.model, posterior, posterior.proposal, posterior.weights, posterior.log_evidence),
        *(posterior.predict({"x": ROWS}), made.recipe, made.table, Evidence(-503.264, 0.001)),
        posterity.Posteriors(estimator.infer_each([DATASET, bad], names=["a", "b"], refine_seconds=0.0)),
    ]


def test_every_public_class_is_looked_at(things):
    classes = {name for name in posterity.__all__ if isinstance(getattr(posterity, name), type)}
    assert classes - {type(thing).__name__ for thing in things} == {
        "FormulaModel",
        "Calibration",
    }  # they show a program; what was judged


def test_a_repr_takes_a_few_lines(things):
    for thing in things:
        text = repr(thing)
        assert len(text.splitlines()) <= MOST_LINES and len(text) <= MOST_CHARACTERS, text[:3000]
        assert "array(" not in text and " object at 0x" not in text, text


def test_a_posterior_shows_itself_in_a_notebook(posterior):
    page = posterior._repr_html_()
    assert page.count("<div") == page.count("</div>") and "500 rows" in page and "corrected" in page
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "w[0]" in text and "sigma" in text and len(page) < 40_000
    # Nothing of the style reaches the page around it.
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert ":root" not in style and style.count("{") == style.count("}")
    assert not re.search(r"(^|[};])\s*(table|th|td|p|h2|ul|section|figure|\*)[\s,{]", style.split(".posterity { ")[0])


def test_posteriors_name_those_that_failed_first(things):
    page = things[-1]._repr_html_()
    assert page.index('scope="row">b<') < page.index('scope="row">a<') and "one entry per row" in page


def test_predictions_show_a_table(posterior):
    page = posterior.predict({"x": ROWS})._repr_html_()
    assert "500 rows" in page and "median" in page


def test_names_are_escaped(posterior):
    import dataclasses

    named = dataclasses.replace(posterior, name="<b>a</b>", reasons=("1 < 2 & <i>",), verdict="untrusted")
    assert "<b>" not in named._repr_html_() and "<i>" not in named._repr_html_()


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "posterity", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"posterity \d+\.\d+\.\d+\n", done.stdout)
