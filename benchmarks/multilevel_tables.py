"""Ten classic multilevel tables: NUTS references, and the informed posterior against them.

    python benchmarks/multilevel_tables.py --nuts                # references, skipping those that passed already
    python benchmarks/multilevel_tables.py                       # answers, skipping those done at this commit
    python benchmarks/multilevel_tables.py --formula             # both by formula instead of by NumPyro model
    python benchmarks/multilevel_tables.py --only sleepstudy,Exam

Models, scaling and formulas are in `multilevel_models.py`; a formula has its own defaults, and NUTS runs on the program
that it makes. References: 4 chains, effects in units of their sds or by themselves, the same latents kept; rank R-hat
<= 1.01, bulk and tail ESS >= 400, no divergences, with twice the steps until they hold or `--seconds` are spent. Their
moments go to `results/multilevel_nuts.jsonl`. Answers, as a user asks for them, twice: largest difference of means in
sds of NUTS, range of the ratios of sds, verdict, seconds of both calls. Rows go to `results/multilevel_tables.jsonl`.
The tables are looked for in `$POSTERITY_REFERENCES/multilevel` or `../shared/data/multilevel`.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
from multilevel_models import TABLES, path_of, read_table
from numpyro import handlers
from nuts import compare, non_centred, plain, to_gates
from references import MissingDataError, folder
from rows import append, commit, read

import posterity

NAME, REFERENCE = "multilevel_tables", "multilevel_nuts"
MEAN_TARGET, SD_TARGET, SECONDS_TARGET = 0.1, 0.1, 2.0
DIGITS = 5


@dataclasses.dataclass(frozen=True)
class Problem:
    """A table with one way to write its model.

    Attributes:
        name: Of the table.
        way: `model` or `formula`.
        path: Where the table lies.
    """

    name: str
    way: str
    path: Path

    def program(self) -> tuple[Callable[..., Any], dict[str, np.ndarray], tuple[str, ...]]:
        """The NumPyro model, its arguments, and the sites of its groups' effects."""
        table = TABLES[self.name]
        if self.way == "model":
            return table.model, read_table(self.path.parent, self.name), table.effects
        made = posterity.from_formula(table.formula, self.path, family=table.family, categorical=table.categorical)
        arguments = {name: plain(values) for name, values in made.data.items()}
        with handlers.seed(rng_seed=0), handlers.trace() as trace:
            made.model(**arguments)
        return made.model, arguments, tuple(site for site in trace if site.startswith("u_"))

    def answer(self, num_draws: int) -> posterity.Posterior:
        """The answer, as a user asks for it."""
        table = TABLES[self.name]
        if self.way == "model":
            found = posterity.infer(table.model, read_table(self.path.parent, self.name), num_draws=num_draws)
        else:
            settings = {"family": table.family, "categorical": table.categorical, "num_draws": num_draws}
            found = posterity.infer(table.formula, self.path, **settings)
        assert isinstance(found, posterity.Posterior)
        return found


def reference(name: str, way: str) -> dict[str, Any] | None:
    """The newest row of NUTS on a table that passed its gates, else the newest."""
    rows = read(REFERENCE, lambda row: (row["table"], row["way"]) == (name, way))
    return next((row for row in reversed(rows) if row["passes"]), rows[-1] if rows else None)


def make_reference(problem: Problem, seconds: float, steps: int) -> None:
    """Runs NUTS on one table, and keeps the moments of every latent."""
    model, arguments, effects = problem.program()
    chains = to_gates([non_centred(model, effects), model], arguments, seconds=seconds, steps=(1000, steps))
    kept = {site: of for site, of in chains.moments.items() if not site.endswith("_base")}
    row = {
        "table": problem.name,
        "way": problem.way,
        "rows": len(arguments["y"]),
        "mean": {site: _rounded(mean) for site, (mean, _) in kept.items()},
        "sd": {site: _rounded(sd) for site, (_, sd) in kept.items()},
        **chains.gates,
        "chains": next(iter(chains.draws.values())).shape[0],
        "steps": chains.steps,
        "seed": 0,
        "seconds": round(chains.seconds[0], 1),
        "cpu_seconds": round(chains.seconds[1], 1),
        "numpyro": numpyro.__version__,
        "jax": jax.__version__,
    }
    append(REFERENCE, row)
    told = {key: row[key] for key in ("passes", "r_hat", "bulk_ess", "tail_ess", "divergent", "steps", "seconds")}
    print(f"{problem.name} by {problem.way}, NUTS {told}", flush=True)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), DIGITS) for value in np.ravel(values)]


def against(posterior: posterity.Posterior, nuts: dict[str, Any]) -> dict[str, Any]:
    """How far an answer is from a reference, and whether that is near enough."""
    found = compare(
        posterior, {site: (np.array(mean), np.array(nuts["sd"][site])) for site, mean in nuts["mean"].items()}
    )
    within = found["mean_gap"] <= MEAN_TARGET and all(abs(ratio - 1.0) <= SD_TARGET for ratio in found["sd_ratio"])
    return {**found, "within": within, "nuts_passes": nuts["passes"]}


def measure(problem: Problem, num_draws: int) -> None:
    """Answers one table twice, and appends its row."""
    nuts = reference(problem.name, problem.way)
    started = time.perf_counter()
    problem.answer(num_draws)
    first_seconds = time.perf_counter() - started
    started = time.perf_counter()
    posterior = problem.answer(num_draws)
    seconds = time.perf_counter() - started
    row = {
        "table": problem.name,
        "way": problem.way,
        "rows": posterior.num_rows,
        "latents": posterior.model.space.size,
        "draws": num_draws,
        "verdict": posterior.verdict,
        "reasons": list(posterior.reasons),
        "pareto_k": posterior.pareto_k,
        "ess": posterior.ess / posterior.num_weighed,
        **({} if nuts is None else against(posterior, nuts)),
        "first_seconds": first_seconds,
        "seconds": seconds,
    }
    append(NAME, row)
    print(row, flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"tables, separated by commas: {', '.join(TABLES)}")
    parser.add_argument("--formula", action="store_true", help="by formula instead of by NumPyro model")
    parser.add_argument("--nuts", action="store_true", help="make references instead of answers")
    parser.add_argument("--seconds", type=float, default=900.0, help="most time for the NUTS of one table")
    parser.add_argument("--steps", type=int, default=10_000, help="steps of NUTS kept of each chain, at first")
    parser.add_argument("--draws", type=int, default=10_000)
    options = parser.parse_args()
    try:
        found = folder("multilevel")
    except MissingDataError as error:
        print(f"skipped: {error}")
        return
    way = "formula" if options.formula else "model"
    done = {(row["table"], row["way"]) for row in read(NAME) if row["commit"] == commit()}
    for name in options.only.split(",") if options.only else TABLES:
        problem = Problem(name, way, path_of(found, name))
        if options.nuts and (options.only or not (reference(name, way) or {"passes": False})["passes"]):
            make_reference(problem, options.seconds, options.steps)
        elif not options.nuts and (options.only or (name, way) not in done):
            measure(problem, options.draws)


if __name__ == "__main__":
    main()
