"""Numbers that the command and the Python functions share; light, so that `--help` need not wait for JAX."""

__all__ = ["NUM_DRAWS", "REFINE_SECONDS"]

NUM_DRAWS = 1000
"""Draws of q for each dataset."""

REFINE_SECONDS = 30.0
"""Most time that sampling from q on may take for one dataset."""
