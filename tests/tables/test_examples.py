"""The example table: the one that scikit-learn ships, and fit for a real-valued target as it stands."""

from pathlib import Path

from numpy.testing import assert_array_equal
from sklearn.datasets import load_diabetes
from tables.cases import MATRIX, TARGET

from posterity.tables import Recipe, read_table

CSV_PATH = Path(__file__).parents[2] / "examples" / "diabetes.csv"


def test_diabetes_is_what_scikit_learn_ships():
    bunch = load_diabetes(scaled=False)
    recipe, data = Recipe.fit(read_table(CSV_PATH), [MATRIX, TARGET], target="progression")
    assert list(recipe.names) == bunch.feature_names
    assert_array_equal(data.values["x"], bunch.data)
    assert_array_equal(data.values["y"], bunch.target)
