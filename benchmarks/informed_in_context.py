"""In-context networks at the sizes of `informed.py`, each trained for 17 minutes of a core to itself.

    python benchmarks/informed_in_context.py --model logistic                      # one network for all sizes
    python benchmarks/informed_in_context.py --model logistic --size 64,20         # one for that size alone
    python benchmarks/informed_in_context.py --model logistic --minutes 0.2        # a trial of this script

Deep sets, a full Gaussian and reverse KL: the best of the 24 combinations of `in_context.py`. Rows 8 to 512 and 1 to 60
features in training, N(0, 1) covariates; datasets, draws and rates as in `informed.py`, the same keys. Rows go to
`results/informed_in_context.jsonl`.
"""

import argparse

import jax.numpy as jnp
from informed import SIZES, rate, ratios_by
from informed_models import make_simulator
from rows import append

import posterity
from posterity.runtime.compile import jit

NAME = "informed_in_context"
MODELS = {"logistic": "logistic_regression", "linear": "linear_regression"}
MINUTES = 17.0


def run(name, size, minutes, num_datasets):
    """Trains one network, rates it at every size that it serves, and appends a row for each."""
    rows, features = ((size[0], size[0]), (size[1], size[1])) if size else ((8, 512), (1, 60))
    entry = posterity.MODELS[MODELS[name]]
    estimator = posterity.train(
        posterity.builtin_simulator(entry, rows, features, covariates="normal"),
        architecture=posterity.Architecture("deep_sets", "full"),
        objective=posterity.ReverseKL(),
        config=posterity.TrainingConfig(minutes=minutes),
    )
    steps = estimator.record["training"]["step"]
    for num_rows, num_features in [size] if size else SIZES:
        simulator = make_simulator(name, num_rows, num_features)
        whole = estimator.model.space
        mask = whole.mask(estimator.model.plate_masks({"features": num_features}))
        active = jnp.flatnonzero(mask, size=simulator.model.space.size)

        @jit
        def draw(dataset, key, mask=mask, active=active):
            dataset = widen(dataset, estimator.model)
            z, log_q = estimator.network(dataset, mask).sample_and_log_prob(key, 1000)
            return z[:, active], log_q

        ratios, milliseconds = ratios_by(simulator, draw, num_rows, num_datasets, seed=1)
        row = {"model": name, "rows": num_rows, "features": num_features, "specialist": size is not None}
        row |= {"minutes": minutes, "steps": steps, "datasets": num_datasets, "milliseconds": milliseconds}
        append(NAME, row | rate(ratios))
        print(f"{name} ({num_rows}, {num_features}): {rate(ratios)}", flush=True)


def widen(dataset, model):
    """A dataset as the network takes it: as many columns as it was trained for, the rest masked."""
    num_features = dataset.values["x"].shape[1]
    most = next(a.shape[0] for a in model.arguments if a.name == "x")
    x = jnp.pad(dataset.values["x"], ((0, 0), (0, most - num_features)))
    masks = model.plate_masks({"features": num_features})
    return type(dataset)({**dataset.values, "x": x}, dataset.row_mask, masks)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--size", help="ROWS,FEATURES; one network for all sizes if left out")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--datasets", type=int, default=500)
    options = parser.parse_args()
    size = tuple(map(int, options.size.split(","))) if options.size else None
    run(options.model, size, options.minutes, options.datasets)


if __name__ == "__main__":
    main()
