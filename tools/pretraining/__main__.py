"""The command line of pretraining; see `pretrain`."""

import argparse
from pathlib import Path

from posterity.informed_posterior.bend.store import write_network
from posterity.training import TrainingConfig
from pretraining import pretrain


def main() -> None:
    """Trains a row network and writes it."""
    parser = argparse.ArgumentParser(
        prog="python -m pretraining", description=pretrain.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints and metrics")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory for the network")
    options = parser.parse_args()
    config = TrainingConfig(
        steps=options.steps, learning_rate=options.learning_rate, seed=options.seed, chunk_steps=50, warmup_steps=100
    )
    network, record = pretrain.pretrain(config, options.folder, resume=options.resume)
    write_network(options.output, network, record)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
