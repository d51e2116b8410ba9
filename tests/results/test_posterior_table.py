"""The table, read as text at width 100."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from posterity.results.table import posterior_table
from posterity.runtime.errors import InputError

BMI = {"mean": 0.32123, "sd": 0.0412, "q05": 0.2531, "q50": 0.3209, "q95": 0.3931}
SIGMA = {"mean": 1523.4, "sd": 120.0, "q05": 1330.0, "q50": 1520.0, "q95": 1720.0}
GOOD = {
    "title": "linear_regression on x.csv",
    "verdict": "corrected",
    "reasons": (),
    "pareto_k": 0.21,
    "ess": 873.6,
}


def render(summary, *, color=False, width=100, **changes):
    written = io.StringIO()
    console = Console(width=width, file=written, force_terminal=color, color_system="standard" if color else None)
    console.print(posterior_table(summary, **(GOOD | changes)))
    return written.getvalue()


def cells(text, label):
    """The words of the line that begins with `label`."""
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return line.strip().removeprefix(label).split()


def test_verdict_comes_first_then_the_latents():
    text = render({"w[bmi]": BMI, "sigma": SIGMA}, num_draws=1000)
    assert text.splitlines()[0].rstrip() == "corrected  Pareto k-hat 0.21, ESS 874 of 1000"
    assert "linear_regression on x.csv" in text
    assert cells(text, "latent") == ["mean", "sd", "q05", "q50", "q95"]
    assert cells(text, "w[bmi]") == ["0.321", "0.041", "0.253", "0.321", "0.393"]
    assert cells(text, "sigma") == ["1523", "120", "1330", "1520", "1720"]


@pytest.mark.parametrize(("verdict", "code"), [("corrected", 32), ("refined", 34), ("untrusted", 31)])
def test_verdict_has_its_colour(verdict, code):
    assert f"\x1b[1;{code}m{verdict}" in render({"w": BMI}, verdict=verdict, color=True)


def test_unknown_verdict_is_refused():
    with pytest.raises(InputError, match=r"unknown verdict 'corected'.*Did you mean 'corrected'"):
        render({"w": BMI}, verdict="corected")


def test_reasons_are_bullets_and_brackets_survive():
    """Rich reads [red] as markup unless told otherwise."""
    reasons = ("Pareto k-hat 0.83 exceeds 0.67 for 1000 draws.", "Column [red] lies outside the envelope.")
    text = render({"w[red]": BMI}, verdict="untrusted", reasons=reasons, title="a [bold] file", pareto_k=0.83)
    for reason in reasons:
        assert f"  - {reason}" in text
    assert "w[red]" in text
    assert "a [bold] file" in text
    assert "Draws are the best that there are" in text


@pytest.mark.parametrize(
    ("pareto_k", "words"),
    [(-np.inf, "k-hat -inf (all weights are equal)"), (np.inf, "k-hat inf"), (np.nan, "k-hat unknown")],
)
def test_k_hat_without_a_number(pareto_k, words):
    assert words in render({"w": BMI}, pareto_k=pareto_k)


def test_reference_stands_beside_with_the_distance_in_its_sds():
    reference = {"w[bmi]": {**BMI, "mean": 0.30123, "sd": 0.04}}
    text = render({"w[bmi]": BMI, "b": BMI}, reference=reference)
    assert "NUTS mean" in text
    assert cells(text, "w[bmi]")[4:] == ["0.301", "0.040", "+0.50", "sd"]
    assert cells(text, "b")[4:] == ["-", "-", "-"]


def test_reference_without_spread_has_no_distance():
    text = render({"w": BMI}, reference={"w": {**BMI, "sd": 0.0}}, reference_name="exact")
    assert "exact sd" in text
    assert cells(text, "w")[4:] == ["0.321", "0.000", "-"]


def test_units_of_the_table_are_a_second_block():
    text = render({"w[bmi]": BMI}, table_units={"w[bmi]": SIGMA})
    scaled, original = text.split("in the units of the table")
    assert "0.321" in scaled
    assert cells(original, "w[bmi]")[0] == "1523"


@pytest.mark.parametrize(("num_latents", "hidden"), [(40, None), (41, 1), (100, 60)])
def test_long_lists_are_shortened_in_the_middle(num_latents, hidden):
    text = render(
        {f"w[{i}]": BMI for i in range(num_latents)} | {"sigma": SIGMA}
        if hidden
        else {f"w[{i}]": BMI for i in range(num_latents)}
    )
    shown = re.findall(r"^ *w\[(\d+)\]|^ *(sigma)", text, flags=re.MULTILINE)
    assert len(shown) == 40
    if hidden is None:
        assert "more" not in text
    else:
        assert f"... {hidden + 1} more, not shown" in text
        assert shown[-1] == ("", "sigma")


@pytest.mark.parametrize(
    ("mean", "sd", "expected"),
    [
        (0.5, 0.0, "0.5"),
        (np.nan, np.nan, "-"),
        (3.0, 1e-9, "3.000e+00"),
        (-123456789.0, 1e5, "-1.235e+08"),
        (0.0004, 0.0000412, "0.000400"),
        (-0.04, 12.0, "0"),
    ],
)
def test_digits(mean, sd, expected):
    assert cells(render({"w": {**BMI, "mean": mean, "sd": sd}}), "w")[0] == expected


def test_every_line_fits_the_width():
    long_label = "w[" + "a_rather_long_column_name_" * 4 + "]"
    text = render({long_label: {**SIGMA, "mean": 1234567.0}}, reference={long_label: SIGMA}, reasons=("word " * 50,))
    assert max(map(len, text.splitlines())) <= 100
    assert "1234567" in text


def test_a_reference_fits_into_80_columns():
    text = render({"w[bmi]": BMI}, reference={"w[bmi]": BMI}, width=80, title="a title longer than the table " * 2)
    assert cells(text, "latent") == ["mean", "sd", "q05", "q95", *["NUTS", "mean", "NUTS", "sd", "apart"]]
    assert cells(text, "w[bmi]")[-2:] == ["+0.00", "sd"]
    assert "a title longer than the table a title longer than the table" in text


def test_long_reasons_hang_below_their_first_word():
    lines = render({"w": BMI}, verdict="untrusted", reasons=("word " * 30, "next")).splitlines()
    assert [line[:8] for line in lines[1:4]] == ["  - word", "    word", "  - next"]
