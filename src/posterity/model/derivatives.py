"""Second derivatives of a log joint, forward over reverse: whether the program has them, and how to mend it if not."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp

from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.errors import InputError

__all__ = ["check_derivatives", "explained_derivatives"]

# Words of JAX's own messages -> what is wrong and the cure.
CURES = {
    "Reverse-mode differentiation does not work": (
        "has a loop without derivatives in reverse mode (lax.while_loop, or lax.fori_loop with bounds that are "
        "computed); take lax.scan, or lax.fori_loop with bounds that are plain numbers"
    ),
    "custom_vjp": (
        "has a part with derivatives in reverse mode only (a custom_vjp, as jax.experimental.ode.odeint is); its "
        "curvature needs forward mode too. Take fixed steps with lax.scan, such as Runge-Kutta ones, or diffrax with "
        "adjoint=DirectAdjoint()"
    ),
    "ifferentiation rule": "has a part that JAX cannot differentiate; write it with functions of jax.numpy",
    "allbacks do not support": "calls out of JAX (a callback), which it cannot differentiate; write it in jax.numpy",
}


@contextmanager
def explained_derivatives(model: Model) -> Iterator[None]:
    """What JAX says of a program that it cannot differentiate, in words that tell the cure.

    Raises:
        InputError: In place of JAX's error.
    """
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError, NotImplementedError) as error:
        cure = next((cure for words, cure in CURES.items() if words in str(error)), None)
        if cure is None:
            raise
        raise InputError(f"model '{model.name}' {cure}") from error


def check_derivatives(model: Model, dataset: Dataset) -> None:
    """Traces the Hessian of the log joint: all that follows takes gradients, and forward derivatives of those.

    Raises:
        InputError: A part of the program has none.
    """
    with explained_derivatives(model):
        jax.eval_shape(jax.hessian(lambda z: model.log_joint(z, dataset)), jnp.zeros(model.space.size))
