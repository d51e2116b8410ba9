"""A table with a response for every family, and the classic tables of mixed models with their usual formulas."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

__all__ = ["BY_FAMILY", "CLASSICS", "classic", "plants"]


def plants() -> pl.DataFrame:
    """48 rows with a response for every family; groups `plot` (6 levels) and `bed` (3 within each plot)."""
    rng = np.random.default_rng(7)
    n = 48
    plot, bed = np.repeat(np.arange(6), 8), np.tile(np.repeat(np.arange(3), [3, 3, 2]), 6)
    rain, soil = rng.normal(50.0, 10.0, n), rng.choice(["clay", "loam", "sand"], n)
    eta = 0.05 * (rain - 50.0) + rng.normal(0.0, 0.5, 6)[plot]
    seeds = rng.integers(3, 12, n)
    return pl.DataFrame(
        {
            "plot": [f"p{p}" for p in plot],
            "bed": [f"b{b}" for b in bed],
            "rain": rain,
            "soil": soil,
            "area": rng.uniform(1.0, 3.0, n),
            "height": 120.0 + 8.0 * (eta + rng.normal(0.0, 0.6, n)),
            "alive": np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-eta)), "yes", "no"),
            "seeds": seeds,
            "sprouts": rng.binomial(seeds, 1 / (1 + np.exp(-eta))),
            "leaves": rng.poisson(np.exp(1.0 + eta)),
            "weight": rng.gamma(3.0, np.exp(2.0 + eta) / 3.0),
            "cover": np.clip(rng.beta(2.0, 3.0, n), 0.01, 0.99),
            "grade": np.clip(np.round(2.0 + eta + rng.normal(0.0, 0.7, n)), 1, 4).astype(int),
            "colour": rng.choice(["blue", "red", "white"], n),
        }
    )


BY_FAMILY = {
    "normal": "height",
    "student_t": "height",
    "bernoulli": "alive",
    "binomial": "cbind(sprouts, seeds - sprouts)",
    "poisson": "leaves",
    "negative_binomial": "leaves",
    "gamma": "weight",
    "beta": "cover",
    "ordinal": "grade",
    "categorical": "colour",
}
"""Family -> a left side for it."""

CLASSICS = {
    "sleepstudy.csv": ("Reaction ~ Days + (Days | Subject)", "normal"),
    "Dyestuff.csv": ("Yield ~ 1 + (1 | Batch)", "normal"),
    "Penicillin.csv": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "normal"),
    "Pastes.csv": ("strength ~ 1 + (1 | batch/cask)", "normal"),
    "cbpp.csv": ("cbind(incidence, size - incidence) ~ period + (1 | herd)", "binomial"),
    "VerbAgg.csv.gz": ("r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "bernoulli"),
    "Machines.csv": ("score ~ Machine + (1 | Worker)", "normal"),
    "Contraception.csv": ("use ~ age + urban + livch + (1 | district)", "bernoulli"),
    "Exam.csv.gz": ("normexam ~ standLRT + (standLRT | school)", "normal"),
    "grouseticks.csv": ("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", "poisson"),
}
"""Table of `multilevel` -> its usual formula and family."""


def classic(name: str) -> Path:
    """One of these tables; the test is skipped where they are not there.

    They are looked for in `$POSTERITY_REFERENCES`, or else in `../shared/data` beside the checkout.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("POSTERITY_REFERENCES", beside)) / "multilevel" / name
    if not path.is_file():
        pytest.skip(f"no {path}; set POSTERITY_REFERENCES to the folder that holds multilevel/")
    return path
