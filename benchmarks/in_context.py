"""Every encoder x family x objective on linear regression with 5 features, equal training time for each.

    python benchmarks/in_context.py --minutes 2 --all          # all 24 combinations, skipping those done
    python benchmarks/in_context.py --minutes 10 --encoder deep_sets --family full --objective forward

Rows 16 to 128 in training, known noise (variance 0.25), N(0, 1) covariates, rated on 200 datasets of 64 rows
against the exact posterior: symmetric KL per parameter, importance ESS. Rows go to `results/in_context.jsonl`.
"""

import argparse
import itertools
import time

import jax.numpy as jnp
from jax import lax, random, vmap
from metrics import gaussian_posterior_metrics, linear_posterior, summary
from rows import append, read

import posterity
from posterity.amortized.encoders import ENCODERS
from posterity.amortized.families import FAMILIES
from posterity.runtime.compile import filter_jit, jit

NAME = "in_context"
FEATURES, NOISE_SD = 5, 0.5
OBJECTIVES = {"forward": posterity.ForwardKL(), "reverse": posterity.ReverseKL()}


def rate(estimator: posterity.Estimator, num_rows: int, num_datasets: int = 200) -> dict[str, dict[str, float]]:
    """Metrics on fixed simulated datasets of one size; see `gaussian_posterior_metrics`."""
    simulator, size = estimator.simulator, FEATURES + 1
    masks = estimator.model.plate_masks({"features": FEATURES})
    datasets, _ = jit(vmap(lambda key: simulator.simulate(key, jnp.ones(num_rows, bool), masks)))(
        random.split(random.key(1000 + num_rows), num_datasets)
    )

    @filter_jit
    def all_metrics(network, datasets):
        def one(inputs):
            dataset, key = inputs
            design = jnp.concatenate([dataset.values["x"], jnp.ones((num_rows, 1))], axis=1)
            mean, precision = linear_posterior(design, dataset.values["y"], NOISE_SD)
            return gaussian_posterior_metrics(network(dataset, jnp.ones(size, bool)), mean, precision, key)

        return lax.map(one, (datasets, random.split(random.key(7), num_datasets)), batch_size=20)

    found = all_metrics(estimator.network, datasets)
    symmetric = 0.5 * (found["forward_kl"] + found["reverse_kl"]) / size
    return {name: summary(values) for name, values in {**found, "symmetric_kl_per_parameter": symmetric}.items()}


def run(encoder: str, family: str, objective: str, minutes: float, seed: int) -> None:
    """Trains and rates one combination, and appends its row."""
    started = time.perf_counter()
    simulator = posterity.builtin_simulator(
        posterity.MODELS["linear_regression_known_noise"],
        (16, 128),
        (FEATURES, FEATURES),
        covariates="normal",
        noise_sd=NOISE_SD,
    )
    estimator = posterity.train(
        simulator,
        architecture=posterity.Architecture(encoder, family),
        objective=OBJECTIVES[objective],
        config=posterity.TrainingConfig(minutes=minutes, seed=seed),
    )
    training = estimator.record["training"]
    row = {
        "encoder": encoder,
        "family": family,
        "objective": objective,
        "minutes": minutes,
        "seed": seed,
        "steps": training["step"],
        "datasets_per_second": training["datasets_per_second"],
        "num_params": estimator.record["num_params"],
        "seconds_in_all": time.perf_counter() - started,
        **{f"rows_{n}": rate(estimator, n) for n in (16, 64, 128)},
    }
    append(NAME, row)
    at_64 = row["rows_64"]
    print(
        f"{encoder} {family} {objective}: {training['step']} steps, symmetric KL / P "
        f"{at_64['symmetric_kl_per_parameter']['mean']:.4f}, ESS {at_64['ess']['median']:.3f}",
        flush=True,
    )


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--encoder", choices=ENCODERS)
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--objective", choices=OBJECTIVES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="every combination that has no row yet")
    options = parser.parse_args()
    cells = itertools.product(
        [options.encoder] if options.encoder else ENCODERS,
        [options.family] if options.family else FAMILIES,
        [options.objective] if options.objective else OBJECTIVES,
    )
    for encoder, family, objective in cells:
        wanted = {"encoder": encoder, "family": family, "objective": objective, "minutes": options.minutes}
        if options.all and read(NAME, lambda row, w=wanted: w.items() <= row.items()):
            continue
        run(encoder, family, objective, options.minutes, options.seed)


if __name__ == "__main__":
    main()
