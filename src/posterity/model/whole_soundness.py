"""Checks by numbers of a model that counts as one observation: it must be finite and differentiable somewhere near.

Nothing is drawn from the prior, which may be improper or reach far beyond what data ever do: the model is looked at
near the origin of unconstrained space, and at a point that a few steps uphill lead to.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from posterity.model.dataset import Dataset
from posterity.model.derivatives import check_derivatives
from posterity.model.intake import pad_arrays
from posterity.model.model import Model
from posterity.model.soundness import UnsupportedRowsError
from posterity.runtime.compile import jit
from posterity.runtime.errors import InputError

__all__ = ["check_whole"]

SPREADS = (0.0, 0.1, 0.1, 0.3, 0.3, 1.0, 1.0, 1.0)  # of the points that are tried
NUM_STEPS, NUM_HALVINGS = 10, 8

Looked = tuple[Array, tuple[Array, dict[str, Array]], Array]


def check_whole(model: Model, arrays: Mapping[str, np.ndarray]) -> tuple[Dataset, Float[Array, " latent"]]:
    """The dataset, and latents at which its log joint and gradient are finite.

    Args:
        model: One that counts as one observation.
        arrays: Argument -> array, as `read_arrays` gives it.

    Raises:
        UnsupportedRowsError: No latents can produce what is observed.
        InputError: The log joint cannot be differentiated twice, or is finite nowhere near.
    """
    where = f"model '{model.name}'"
    dataset = jax.device_put(pad_arrays(model, arrays, {}, 1))
    check_derivatives(model, dataset)

    def look(z: Array) -> Looked:
        def joint(z: Array) -> tuple[Array, tuple[Array, dict[str, Array]]]:
            log_det, sites = model.site_log_probs(z, dataset)
            totals = {name: jnp.sum(value) for name, value in sites.items()}
            return sum(totals.values(), log_det), (log_det, totals)

        (value, parts), gradient = jax.value_and_grad(joint, has_aux=True)(z)
        return value, parts, gradient

    program = jit(look, effort="little")
    rng = np.random.default_rng(0)
    starts = [spread * rng.normal(size=model.space.size).astype(np.float32) for spread in SPREADS]
    found = [(start, program(jnp.asarray(start))) for start in starts]
    start, looked = next(((z, one) for z, one in found if _is_finite(one)), found[0])
    if not _is_finite(looked):
        if any(np.any(one) for one in jax.device_get(jit(model.unsupported_rows, effort="little")(dataset)).values()):
            raise UnsupportedRowsError
        value, (_, parts), _ = looked
        sites = ", ".join(f"site '{name}'" for name, part in parts.items() if not np.isfinite(part))
        what = "gradient of the log joint" if np.isfinite(value) else "log joint"
        raise InputError(
            f"{where}: the {what} is not finite near the origin of its latents, unconstrained; look at "
            f"{sites or 'the gradient'} (rates that overflow, scales that reach 0, matrices without jitter?)"
        )
    for _ in range(NUM_STEPS):
        better = _uphill(program, start, looked)
        if better is None:
            break
        start, looked = better
    return dataset, jnp.asarray(start)


def _uphill(program: Callable[[Array], Looked], z: np.ndarray, looked: Looked) -> tuple[np.ndarray, Looked] | None:
    """A point that a step along the gradient, of length 1 at most, makes better; None if none does."""
    gradient = np.asarray(looked[2])
    direction = gradient / max(1.0, float(np.linalg.norm(gradient)))
    for halvings in range(NUM_HALVINGS):
        there = (z + 0.5**halvings * direction).astype(np.float32)
        found = program(jnp.asarray(there))
        if _is_finite(found) and float(found[0]) > float(looked[0]):
            return there, found
    return None


def _is_finite(looked: Looked) -> bool:
    return bool(np.isfinite(looked[0])) and bool(np.all(np.isfinite(looked[2])))
