"""Formulas as text: what their parts are, and what is refused before any table is read."""

import pytest

from posterity.runtime.errors import InputError
from posterity.tables.formula import names_formula, parse_formula
from posterity.tables.formula.parse import Bar
from posterity.tables.formula.syntax import names_in


@pytest.mark.parametrize(
    ("text", "fixed", "bars"),
    [
        ("y ~ x1 + x2 + (1 + x1 | school)", "x1 + x2", [Bar("1 + x1", ("school",))]),
        ("y ~ (1 | g)", "1", [Bar("1", ("g",))]),
        ("y ~ x + (x | g)", "x", [Bar("x", ("g",))]),
        ("y ~ x + (0 + x | g)", "x", [Bar("0 + x", ("g",))]),
        ("y ~ x + (1 + x || g)", "x", [Bar("1 + x", ("g",), correlated=False)]),
        ("y ~ 1 + (1 | a/b)", "1", [Bar("1", ("a",)), Bar("1", ("a", "b"))]),
        ("y ~ 1 + (1 | a/b/c)", "1", [Bar("1", ("a",)), Bar("1", ("a", "b")), Bar("1", ("a", "b", "c"))]),
        ("y ~ 1 + (1 | a:b)", "1", [Bar("1", ("a", "b"))]),
        ("y ~ (1 | a) + x + (1 | b) - 1", "x - 1", [Bar("1", ("a",)), Bar("1", ("b",))]),
        ("y~-1+x*(z+w)+(x|g)", "- 1 + x*(z+w)", [Bar("x", ("g",))]),
        ("y ~ (a + b):c", "(a + b):c", []),
        ("y ~ I(a | b) + `odd | name (1`", "I(a | b) + `odd | name (1`", []),
        ("y ~ poly(x, degree=2) + (1 | `my group`)", "poly(x, degree=2)", [Bar("1", ("my group",))]),
        ("y ~ C(g, levels=['a|b', 'c~d'])", "C(g, levels=['a|b', 'c~d'])", []),
    ],
)
def test_bar_terms_are_taken_out_and_the_rest_is_left(text, fixed, bars):
    found = parse_formula(text)
    assert (found.response, found.fixed, list(found.bars)) == ("y", fixed, bars)


def test_offsets_and_trials_leave_the_fixed_part():
    found = parse_formula("cbind(dead, size - dead) ~ x + offset(log(hours)) + offset(z)")
    assert (found.response, found.trials, found.fixed) == ("dead", "(dead) + (size - dead)", "x")
    assert found.offsets == ("log(hours)", "z")
    assert parse_formula("dead | trials(size) ~ x").trials == "size"
    assert parse_formula("log(y) ~ offsets").response == "log(y)"
    assert parse_formula("y ~ (1 | a/b) + (x | a)").factors == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y ~ (1 | g", r"'\(' in '\(1 \| g' is not closed. Add the '\)'"),
        ("y ~ x) + (1 | g)", r"'\)' after 'y ~ x' closes nothing"),
        ("y ~ [x)", r"'\)' after .* closes nothing"),
        ("y ~ x + 'a", "quote ' in 'a' is not closed|is not closed. Close it"),
        ("y ~ x | g", r"the bar in 'x \| g' needs brackets"),
        ("y ~ x + | g", "needs brackets"),
        ("y ~ x:(1 | g)", r"'\(1 \| g\)' can only be added to other terms, not joined by ':'"),
        ("y ~ x*(1 | g)", r"not joined by '\*'"),
        ("y ~ x - (1 | g)", "can only be added"),
        ("y ~ x - offset(z)", "can only be added"),
        ("y ~ (1 | a*b)", r"'a\*b' in '\(1 \| a\*b\)' is no group. .* a:b for the combinations"),
        ("y ~ (1 | a + b)", r"several terms, \(1 \| a\) \+ \(1 \| b\)"),
        ("y ~ (1 | log(g))", "is no group"),
        ("y ~ (1 | 3)", "is no group"),
        ("y ~ (1 | a/a)", "names a group twice"),
        ("y ~ (1 | a | b)", "has 2 bars"),
        ("y ~ (1 || a | b)", "has 3 bars"),
        ("y ~ (| g)", "no effects before its bar"),
        ("y ~ (1 |)", "no group after its bar"),
        ("y ~ x +", r"nothing after '\+'"),
        ("y ~ .", "'.' is not taken"),
        ("y ~", "expected RESPONSE ~ TERMS"),
        ("~ x", "expected RESPONSE ~ TERMS"),
        ("y ~ x ~ z", "with one '~'"),
        ("y ~ y + x", "the response 'y' stands on the right side"),
        ("log(y) ~ x + (y | g)", "the response 'y' stands on the right side"),
        ("y ~ x + (1 | y)", "the response 'y' stands on the right side"),
        ("cbind(a) ~ x", r"expected cbind\(SUCCESSES, FAILURES\)"),
        ("y | weights(w) ~ x", "a bar on the left is for trials alone"),
    ],
)
def test_what_is_no_formula_is_refused_with_the_cure(text, message):
    with pytest.raises(InputError, match=message):
        parse_formula(text)


def test_names_that_must_be_columns():
    text = "np.log(x) + C(g, contr.sum, levels=['q']) + poly(z, degree=2) + `a b` + I(w == 3e5)"
    assert [name.text for name in names_in(text) if name.is_column] == ["x", "g", "z", "a b", "w"]


def test_a_path_is_no_formula(tmp_path):
    assert names_formula("y ~ x") and names_formula("y~(1|g)")
    assert not any(map(names_formula, ("~/my.estimator", "linear_regression", "backup~", "my.py:model")))
    place = tmp_path / "old~1"
    assert names_formula(str(place))
    place.mkdir()
    assert not names_formula(str(place))
