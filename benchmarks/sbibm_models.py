r"""Three sbibm tasks as NumPyro models with explicit likelihoods.

`two_moons`: the simulator draws $a \sim U(-\pi/2, \pi/2)$, $r \sim N(0.1, 0.01^2)$ and puts $x$ at
$u = (r \cos a, r \sin a)$ plus a shift by theta. Negative $r$, ten standard deviations off, aside, polar coordinates
give

$$p(x \mid \theta) = \frac{N(|u|;\ 0.1,\ 0.01^2)}{\pi\, |u|}, \quad u_1 > 0, \qquad
  u = x - (0.25, 0) - \Big(-\frac{|\theta_1 + \theta_2|}{\sqrt 2},\ \frac{\theta_2 - \theta_1}{\sqrt 2}\Big).$$
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro.distributions import constraints

__all__ = ["TASKS", "Crescent", "bernoulli_glm", "gaussian_linear", "load_task", "two_moons"]

VARIANCE = 0.1
OFFSET, RADIUS, WIDTH = 0.25, 0.1, 0.01


def gaussian_linear(x):
    """Ten means, all seen once with noise of a known size."""
    theta = numpyro.sample("theta", dist.Normal(jnp.zeros(x.shape[1]), jnp.sqrt(VARIANCE)))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("x", dist.Normal(theta, jnp.sqrt(VARIANCE)).to_event(1), obs=x)


def bernoulli_glm(design, y=None, *, prior_precision):
    """A neuron's spikes in 100 time bins: an offset and nine weights of a smooth filter."""
    prior = dist.MultivariateNormal(jnp.zeros(prior_precision.shape[0]), precision_matrix=prior_precision)
    theta = numpyro.sample("theta", prior)
    with numpyro.plate("observations", design.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=design @ theta), obs=y)


class Crescent(dist.Distribution):
    """The right half of a ring, shifted."""

    arg_constraints = {"shift": constraints.real_vector}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(self, shift, *, validate_args=None):
        self.shift = shift
        super().__init__(jnp.shape(shift)[:-1], (2,), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """By angle and radius."""
        key_angle, key_radius = random.split(key)
        shape = (*sample_shape, *self.batch_shape)
        angle = random.uniform(key_angle, shape, minval=-0.5 * jnp.pi, maxval=0.5 * jnp.pi)
        radius = RADIUS + WIDTH * random.normal(key_radius, shape)
        return self.shift + jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=-1)

    def log_prob(self, value):
        """In the plane: the radius' density over half a circle's length."""
        u = value - self.shift
        inside = u[..., 0] > 0.0
        radius = jnp.sqrt(jnp.sum(jnp.square(jnp.where(inside[..., None], u, 1.0)), axis=-1))
        log_density = dist.Normal(RADIUS, WIDTH).log_prob(radius) - jnp.log(jnp.pi * radius)
        return jnp.where(inside, log_density, -jnp.inf)


def two_moons(x):
    """Two crescents, mirror images of each other."""
    theta = numpyro.sample("theta", dist.Uniform(-jnp.ones(2), jnp.ones(2)))
    shift = jnp.stack([OFFSET - jnp.abs(theta[0] + theta[1]) / jnp.sqrt(2.0), (theta[1] - theta[0]) / jnp.sqrt(2.0)])
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("x", Crescent(jnp.broadcast_to(shift, x.shape)), obs=x)


def load_task(name: str, folder: Path) -> tuple[Callable[..., Any], Callable[[Any], dict[str, Any]]]:
    """A task's model, and how a stored observation becomes its arguments.

    Args:
        name: In `TASKS`.
        folder: With the task's files.
    """
    if name != "bernoulli_glm":
        return TASKS[name], lambda stored: {"x": np.asarray(stored["observation"], np.float32)[None]}
    fixed = np.load(folder / "design.npz")
    model = functools.partial(bernoulli_glm, prior_precision=np.asarray(fixed["prior_precision"], np.float32))
    return model, lambda stored: {"design": fixed["design_matrix"], "y": stored["observation_raw"].astype(np.int32)}


TASKS = {"gaussian_linear": gaussian_linear, "bernoulli_glm": bernoulli_glm, "two_moons": two_moons}
