"""Runs the study without the command: `python -m study run --preset smoke`, in `benchmarks/`."""

import sys

from posterity.cli.app import main

sys.exit(main(["bench", *sys.argv[1:]]))
