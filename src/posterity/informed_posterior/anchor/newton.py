"""Newton's method with a line search: to a mode, or to the best point met on the way to it."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax, vmap
from jaxtyping import Array, Float

__all__ = ["STEP_SIZES", "ValueAt", "best_step", "damped_newton"]

STEP_SIZES = (1.0, 0.5, 0.25, 2.0**-4, 2.0**-6, 2.0**-9, 2.0**-13, 2.0**-18, 2.0**-22, 2.0**-26, 2.0**-30, 0.0)

ValueAt = Callable[[Float[Array, ""]], Float[Array, ""]]


def damped_newton(
    look: Callable[[Float[Array, " latent"]], tuple[Float[Array, " latent"], ValueAt]],
    start: Float[Array, " latent"],
    *,
    gain: float,
    most: int,
) -> Float[Array, " latent"]:
    """Goes along each direction as far as the best of a few step sizes, none at all among them.

    Args:
        look: Point -> direction to go, and the log joint at a step size along it.
        start: Where to begin.
        gain: Nats by which a step must improve the log joint to go on.
        most: Steps.
    """
    sizes = jnp.asarray(STEP_SIZES)

    def going_on(carry: tuple[Array, Array, Array]) -> Array:
        _, gained, count = carry
        return (gained > gain) & (count < most)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        point, _, count = carry
        direction, value_at = look(point)
        size, gained = best_step(sizes, vmap(value_at)(sizes))
        # A zero step keeps the point exactly; `where`, since 0 times an infinite direction is NaN.
        return jnp.where(size > 0.0, point + size * direction, point), gained, count + 1

    return lax.while_loop(going_on, step, (start, jnp.asarray(jnp.inf), jnp.asarray(0)))[0]


def best_step(sizes: Float[Array, " size"], values: Float[Array, " size"]) -> tuple[Array, Array]:
    """The step size of the highest finite value, 0 if there is none; and what it gains over no step.

    Args:
        sizes: The last is 0.
        values: Log joint at each, in nats.
    """
    values = jnp.where(jnp.isfinite(values), values, -jnp.inf)
    best = jnp.where(jnp.any(jnp.isfinite(values)), jnp.argmax(values), sizes.size - 1)
    return sizes[best], jnp.where(sizes[best] > 0.0, values[best] - values[-1], 0.0)
