"""Writes `diabetes.csv` beside this script: 442 patients, 10 measurements, progression after one year.

Source: B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least Angle Regression", Annals of Statistics 32
(2004), pages 407-499, as shipped with scikit-learn in `load_diabetes`; here in its original units.
Columns: age (years), sex (1 or 2), bmi, bp (mean blood pressure), six blood serum values s1 to s6, and the
target `progression`. Needs scikit-learn, which the package itself does not. Run: `python make_diabetes.py`.
"""

from pathlib import Path
from typing import Any

from sklearn.datasets import load_diabetes

CSV_PATH = Path(__file__).with_name("diabetes.csv")


def diabetes_csv() -> str:
    """The whole table as CSV text, numbers in their shortest form (59, not 59.0)."""
    bunch: Any = load_diabetes(scaled=False)
    lines = [",".join([*bunch.feature_names, "progression"])]
    for covariates, progression in zip(bunch.data, bunch.target, strict=True):
        lines.append(",".join(f"{value:.10g}" for value in (*covariates, progression)))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    CSV_PATH.write_text(diabetes_csv(), encoding="utf-8", newline="\n")
    print(f"wrote {CSV_PATH}")
