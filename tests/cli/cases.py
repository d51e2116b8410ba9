"""Models, tables and options that the tests of the command share."""

from pathlib import Path

import numpy as np
import polars as pl

FIXTURES = Path(__file__).parents[1] / "fixtures"

TINY = ["--rows", "16:16", "--features", "1:3", "--steps", "40", "--batch-size", "8", "--covariates", "normal"]
TINY += ["--encoder-option", "width=8", "--trunk-option", "width=16", "--trunk-option", "depth=1"]

OWN_MODEL = (FIXTURES / "shop.py").read_text()


def regression_table(num_rows: int = 24) -> pl.DataFrame:
    """Two covariates in units of their own, and a target that depends on the first."""
    rng = np.random.default_rng(1)
    age, height = rng.normal(40.0, 10.0, num_rows), rng.normal(1.7, 0.1, num_rows)
    return pl.DataFrame({"age": age, "height": height, "y": 100.0 + 5.0 * age + rng.normal(0.0, 30.0, num_rows)})


def shop_table(num_rows: int = 24) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    temperature, holiday = rng.normal(0.0, 1.0, num_rows), rng.integers(0, 2, num_rows)
    return pl.DataFrame({"temperature": temperature, "holiday": holiday, "sales": rng.poisson(2.0, num_rows)})
