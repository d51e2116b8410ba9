"""Targets: each kind of data takes what its likelihood can score, and refuses the rest by name."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from tables.cases import regression

from posterity.runtime.errors import InputError


def read(cells, kind, num_classes, **options):
    frame = pl.DataFrame({"x": range(len(cells)), "y": cells})
    return regression(frame, kind, num_classes or 0, source="my/sales.csv", **options)


INTEGERS = pl.Series([3, 0, 1, 3])


@pytest.mark.parametrize(
    ("kind", "num_classes", "cells", "values", "classes"),
    [
        ("real", None, INTEGERS, [3, 0, 1, 3], ()),
        ("real", None, ["1.5", " 2", "3", "4"], [1.5, 2, 3, 4], ()),
        ("count", None, INTEGERS, [3, 0, 1, 3], ()),
        ("count", None, [3.0, 0.0, 1.0, 2147483647.0], [3, 0, 1, 2147483647], ()),
        ("count", None, [0, 0, 0, 0], [0, 0, 0, 0], ()),
        ("binary", None, [1, 0, 0, 1], [1, 0, 0, 1], ("0", "1")),
        ("binary", None, [1.0, 0.0, 0.0, 1.0], [1, 0, 0, 1], ("0", "1")),
        ("binary", None, [True, False, False, True], [1, 0, 0, 1], ("false", "true")),
        ("binary", None, [2, 1, 1, 2], [1, 0, 0, 1], ("1", "2")),
        ("binary", None, [10, 9, 9, 10], [1, 0, 0, 1], ("9", "10")),  # sorted as numbers
        ("binary", None, ["yes", "no", " no", "yes"], [1, 0, 0, 1], ("no", "yes")),
        ("class", 3, ["u", "w", "v", "u"], [0, 2, 1, 0], ("u", "v", "w")),
        ("class", 4, ["u", "w", "w", "u"], [0, 1, 1, 0], ("u", "w")),  # fewer than the model has
        ("class", 3, [2, 0, 2, 2], [2, 0, 2, 2], ("0", "1", "2")),  # codes stay, though no row has 1
        ("class", 3, [3, 1, 2, 3], [2, 0, 1, 2], ("1", "2", "3")),  # labels that happen to be integers
        ("class", 3, ["0", "2", "2", "NA"], [0, 2, 2], ("0", "1", "2")),
        ("class", 3, pl.Series(list("uwvu"), dtype=pl.Categorical), [0, 2, 1, 0], ("u", "v", "w")),
        ("class", 3, pl.Series(list("wuuw"), dtype=pl.Enum(["w", "v", "u"])), [0, 2, 2, 0], ("w", "v", "u")),
        ("binary", None, pl.Series(list("noon"), dtype=pl.Enum(["o", "n"])), [1, 0, 0, 1], ("o", "n")),
        ("class", None, list("uwvz"), [0, 2, 1, 3], ("u", "v", "w", "z")),
    ],
)
def test_kinds(kind, num_classes, cells, values, classes):
    recipe, data = read(cells, kind, num_classes, drop_missing=True)
    assert_array_equal(data.values["y"], values)
    assert data.values["y"].dtype == (np.float64 if kind == "real" else np.int64)
    assert recipe.classes == classes


LABELS = ["setosa", "NA", "virginica", "setosa"]
DATES = [date(2024, 1, day) for day in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("kind", "cells", "message"),
    [
        ("real", LABELS, "holds class labels .'setosa', 'virginica'.; this model needs numbers.*--target"),
        ("count", LABELS, r"holds class labels .*; this model needs counts \(0, 1, 2, ...\)"),
        ("real", [True, False, True, True], "holds class labels .'false', 'true'.; this model needs numbers"),
        ("count", [True, False, True, True], "holds class labels .'false', 'true'.; this model needs counts"),
        ("real", ["12", "13 kg", "1,5", "9"], "holds 2 cells of text among its numbers, such as '13 kg'"),
        ("count", ["12", "13", "many", "9"], "holds 1 cell of text among its numbers, such as 'many'"),
        ("real", DATES, "holds Date values; expected numbers"),
        ("class", DATES, "holds Date values; expected class labels"),
        ("real", [2.5] * 4, "is constant .2.5 in every row."),
        ("binary", [0, 1, 2, 1], "has 3 distinct values .'0', '1', '2'.; expected exactly 2"),
        ("binary", [1, 1, 1, 1], "has 1 distinct value .'1'.; expected exactly 2"),
        ("binary", [0.1, 0.2, 0.3, 0.4], "has 4 distinct values"),
        ("binary", ["yes", "no", "maybe", "no"], "has 3 distinct values .'maybe', 'no', 'yes'."),
        ("class", list("uvwz"), "has 4 classes .'u', 'v', 'w', 'z'.; this model takes at most 3"),
        ("class", [0, 1, 2, 3], "has 4 classes .*; this model takes at most 3"),
        ("class", ["u"] * 4, "is constant .'u' in every row.; expected at least 2 classes"),
        ("class", [0.0, 1.0, 1.5, 2.0], "holds 1.5; expected class labels or integer codes"),
        ("count", [0, 1, -1, 2], "holds 1 value that cannot be counts, such as -1; expected integers from 0"),
        ("count", [0.0, 2.5, 3.5, 2.0], "holds 2 values that cannot be counts, such as 2.5"),
        ("count", [0, 1, 2**54, 2], "holds 1 value that cannot be counts, such as 1.80143985"),
    ],
)
def test_unfit_targets(kind, cells, message):
    with pytest.raises(InputError, match="^my/sales.csv: target column 'y' " + message) as caught:
        read(cells, kind, 3)
    assert "\n" not in str(caught.value)


def test_classes_of_dropped_rows_do_not_count():
    frame = pl.DataFrame({"x": [1, 2, None, 4], "y": ["no", "yes", "maybe", "no"]})
    assert regression(frame, "binary", drop_missing=True)[0].classes == ("no", "yes")


def test_constant_once_rows_are_dropped():
    frame = pl.DataFrame({"x": [1, 2, None, 4], "y": [1.0, 1.0, 2.0, 1.0]})
    with pytest.raises(InputError, match="target column 'y' is constant"):
        regression(frame, drop_missing=True)
