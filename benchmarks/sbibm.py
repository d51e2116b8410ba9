"""Three sbibm tasks by their explicit likelihoods: C2ST against the reference posteriors, in the published protocol.

    python benchmarks/sbibm.py                                        # every task and observation, skipping those done
    python benchmarks/sbibm.py --task two_moons --way trained --minutes 10
    python benchmarks/sbibm.py --task bernoulli_glm --observations 1,2

`informed` simulates nothing: 100,000 draws and the default refinement, of which 10,000 are resampled by weight, without
replacement so that the classifier sees no duplicates. `trained` is for `two_moons`, whose crescents no Gaussian
follows: one flow learns all of them from simulations by forward KL, for some minutes, and its draws are corrected by
the likelihood like any others. C2ST as published: accuracy in 5-fold cross-validation of scikit-learn's MLP of two
hidden layers of 10 x dimension units, z-scored by the reference, 10,000 draws from each side (fewer where a refined
posterior has not as many), in float32; it stops by its own rule or after 100 epochs (sbibm: 10,000), which is 8,000
steps of Adam. Untrusted posteriors are not scored. The data are looked for in
`$POSTERITY_REFERENCES/sbibm` or `../shared/data/sbibm`. Rows go to `results/sbibm.jsonl`.
"""

import argparse
import csv
import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from metrics import c2st
from references import MissingDataError, distinct_draws, folder
from rows import append, read
from sbibm_models import TASKS, load_task

import posterity

NAME, PUBLISHED = "sbibm", "sbibm_published"
NUM_DRAWS, NUM_COMPARED = 100_000, 10_000
MOST_EPOCHS, SEED = 100, 1
OBSERVATIONS = range(1, 11)


def stored(path: Path, observation: int) -> Any:
    """Files of one observation."""
    return np.load(path / f"obs_{observation:02d}.npz")


def informed(name: str, path: Path) -> tuple[posterity.Estimator, dict[str, Any]]:
    """The informed posterior, and what it cost."""
    model, arguments = load_task(name, path)
    return posterity.informed(model, arguments(stored(path, 1))), {"way": "informed", "simulations": 0}


def trained(name: str, path: Path, minutes: float) -> tuple[posterity.Estimator, dict[str, Any]]:
    """A flow trained on simulations of the task, and what it cost."""
    model, arguments = load_task(name, path)
    simulator = posterity.build_simulator(model, arguments(stored(path, 1)), posterity.Envelope((1, 1)))
    config = posterity.TrainingConfig(minutes=minutes, batch_size=256)
    started = time.perf_counter()
    estimator = posterity.train(simulator, architecture=posterity.Architecture(family="flow"), config=config)
    training = estimator.record["training"]
    simulations = training["step"] * config.batch_size
    seconds = time.perf_counter() - started
    print(f"{name}: {training['step']} steps, {simulations} simulations, loss {training['loss']:.3f}, {seconds:.0f} s")
    return estimator, {"way": "trained", "simulations": simulations, "minutes": minutes, "training_seconds": seconds}


def rate(
    name: str, path: Path, observation: int, estimator: posterity.Estimator, cost: dict[str, Any], number: int
) -> None:
    """Answers one observation and appends its row."""
    _, arguments = load_task(name, path)
    files = stored(path, observation)
    posterior = estimator.infer(arguments(files), num_draws=NUM_DRAWS)
    reference = files["reference_posterior_samples"].astype(np.float32)
    ours = distinct_draws(posterior, number).astype(np.float32)
    theirs = reference[np.random.default_rng(0).permutation(len(reference))[: len(ours)]]
    started = time.perf_counter()
    # An untrusted posterior says that it is none: there is nothing to score.
    score = c2st(ours, theirs, seed=SEED, max_epochs=MOST_EPOCHS) if posterior.verdict != "untrusted" else None
    row = {
        "task": name,
        "observation": observation,
        **cost,
        "verdict": posterior.verdict,
        "reasons": list(posterior.reasons),
        "pareto_k": posterior.pareto_k,
        "ess": posterior.ess / posterior.num_weighed,
        "c2st": score,
        "compared": len(ours),
        "most_epochs": MOST_EPOCHS,
        "seconds": posterior.seconds,
        "c2st_seconds": time.perf_counter() - started,
    }
    append(NAME, row)
    print(
        f"{name} {observation} {cost['way']} {posterior.verdict}: C2ST {score} ({len(ours)} draws), k-hat "
        f"{row['pareto_k']:.2f}, ESS {row['ess']:.3f}, {row['seconds']:.2f} s, C2ST took {row['c2st_seconds']:.0f} s "
        f"{' '.join(posterior.reasons)}",
        flush=True,
    )


def keep_published(path: Path) -> None:
    """Appends a row for every published algorithm and number of simulations: C2ST over the observations of a task."""
    if read(PUBLISHED):
        return
    cells: dict[tuple[str, str, int], list[float]] = {}
    with gzip.open(path / "published_main.csv.gz", "rt") as file:
        for line in csv.DictReader(file):
            if line["task"] in TASKS:
                key = line["task"], line["algorithm"], int(line["num_simulations"])
                cells.setdefault(key, []).append(float(line["C2ST"]))
    for (task, algorithm, simulations), scores in sorted(cells.items()):
        found = {"mean": float(np.mean(scores)), "sd": float(np.std(scores)), "observations": len(scores)}
        append(PUBLISHED, {"task": task, "algorithm": algorithm, "simulations": simulations, **found})


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=tuple(TASKS))
    parser.add_argument("--way", choices=("informed", "trained"), default="informed")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training")
    parser.add_argument("--compared", type=int, default=NUM_COMPARED, help="draws on either side of C2ST")
    parser.add_argument("--observations", help="numbers, separated by commas")
    options = parser.parse_args()
    try:
        found = folder("sbibm")
    except MissingDataError as error:
        print(f"skipped: {error}")
        return
    keep_published(found)
    wanted = [int(n) for n in options.observations.split(",")] if options.observations else OBSERVATIONS
    for name in [options.task] if options.task else TASKS:
        done = {r["observation"] for r in read(NAME) if (r["task"], r["way"]) == (name, options.way)}
        left = [n for n in wanted if n not in done]
        if not left:
            continue
        make: Callable[[], tuple[posterity.Estimator, dict[str, Any]]] = (
            (lambda name=name: informed(name, found / name))
            if options.way == "informed"
            else (lambda name=name: trained(name, found / name, options.minutes))
        )
        estimator, cost = make()
        estimator.infer(
            load_task(name, found / name)[1](stored(found / name, left[0])), num_draws=NUM_DRAWS
        )  # compiles
        for number in left:
            rate(name, found / name, number, estimator, cost, options.compared)


if __name__ == "__main__":
    main()
