"""Numbers that the command and the Python functions share; light, so that `--help` need not wait for JAX."""

__all__ = ["MOST_DRAWS", "NUM_DRAWS", "REFINE_SECONDS"]

NUM_DRAWS = 1000
"""Draws of q for each dataset."""

REFINE_SECONDS = 30.0
"""Most time that sampling from q on may take for one dataset."""

MOST_DRAWS = 1_000_000
"""More would ask for memory rather than tell more: their Monte Carlo error is a thousandth of a standard deviation."""
