"""The example table: the one that scikit-learn ships, and fit for a real-valued target as it stands."""

from pathlib import Path

from numpy.testing import assert_array_equal
from sklearn.datasets import load_diabetes

from posterity.tables import numeric_table, read_table

CSV_PATH = Path(__file__).parents[2] / "examples" / "diabetes.csv"


def test_diabetes_is_what_scikit_learn_ships():
    bunch = load_diabetes(scaled=False)
    table = numeric_table(read_table(CSV_PATH), target="progression", target_kind="real")
    assert list(table.names) == bunch.feature_names
    assert_array_equal(table.values, bunch.data)
    assert_array_equal(table.target, bunch.target)
