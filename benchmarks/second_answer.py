"""Seconds of the first, second and later answers in one process, each with its summary: what compiles only once."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
from rows import append

import posterity

NUM_ROWS, NUM_LATER = 50, 6


def own_model(x, y=None):
    """Linear regression, as a user would write it."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w, sigma), obs=y)


def main() -> None:
    """A row for each kind of model; the table comes last and finds the built-in model's programs compiled."""
    rng = np.random.default_rng(0)

    def arrays() -> dict[str, np.ndarray]:
        x = rng.normal(size=(NUM_ROWS, 3)).astype(np.float32)
        return {"x": x, "y": (x @ [1.0, 2.0, 3.0] + rng.normal(size=NUM_ROWS)).astype(np.float32)}

    def table() -> pl.DataFrame:
        data = arrays()
        return pl.DataFrame({"a": data["x"][:, 0], "b": data["x"][:, 1], "c": data["x"][:, 2], "y": data["y"]})

    kinds: dict[str, Callable[[], Any]] = {
        "own model": lambda: posterity.infer(own_model, arrays()),
        "built-in": lambda: posterity.infer("linear_regression", arrays()),
        "table": lambda: posterity.infer("linear_regression", table(), target="y"),
    }
    for name, ask in kinds.items():
        seconds = []
        for _ in range(2 + NUM_LATER):
            started = time.perf_counter()
            ask().summary()
            seconds.append(time.perf_counter() - started)
        first, second, *later = seconds
        append("second_answer", {"model": name, "first": first, "second": second, "later": statistics.median(later)})


if __name__ == "__main__":
    main()
