r"""A posterior of 120 latents with two modes of equal mass, known in closed form.

The means of a mixture of two Gaussians in 60 dimensions: the labels are exchangeable, so every posterior has two modes,
each the other with labels swapped. The components lie some 35 of their sds apart, so memberships are certain, and given
them the posterior is Gaussian:

$$\mu_k \sim N\!\Big(\frac{n_k \bar x_k}{n_k + s^2}, \frac{s^2}{n_k + s^2} I\Big), \qquad s^2 = 0.1.$$
"""

import numpy as np
from jax import lax
from jaxtyping import Float

from posterity.runtime.compile import jit
from study.datasets import TestSet
from study.settings import Setting
from study.tasks.gaussian_mixture import COMPONENT_SD, fixed

__all__ = ["SETTING", "certain_posterior", "mode_shares", "swapped_labels"]

SETTING: Setting = fixed(60, 2)
Draws = Float[np.ndarray, "dataset draw latent"]


def swapped_labels() -> tuple[int, ...]:
    """The coordinates of z, of shape (component, dim), with the components in the other order."""
    ((_, dims),) = [site.shape for site in SETTING.simulator().model.space.sites]
    return (*range(dims, 2 * dims), *range(dims))


def mode_shares(z: Draws, truth: Float[np.ndarray, "dataset latent"]) -> Float[np.ndarray, "dataset 2"]:
    """Share of the draws at either mode: both means nearer to their own than half the way to the other.

    Draws between the modes count for neither: a q that never decided on a labelling would else pass for one with both.

    Args:
        z: Two means, one after the other.
        truth: The means that made the data, which are near one mode; the other has them swapped.
    """
    means, centres = z.reshape(*z.shape[:2], 2, -1), truth.reshape(len(truth), 1, 2, -1)
    reach = 0.5 * np.linalg.norm(centres[:, :, 0] - centres[:, :, 1], axis=-1)  # (dataset, 1)
    furthest = [np.linalg.norm(means - order, axis=-1).max(axis=-1) for order in (centres, centres[:, :, ::-1])]
    return np.stack([np.mean(distance < reach, axis=1) for distance in furthest], axis=-1)


def certain_posterior(test: TestSet, num_draws: int) -> tuple[Draws, Float[np.ndarray, " dataset"]]:
    """Draws of the posterior and log p(D), memberships being certain: those of the nearer true mean.

    Draws alternate between the labellings, so that any even number of them has both modes in equal shares. W2 to them
    is about 2, not the floor, for as many independent draws of the very same posterior: their shares are not equal.
    """
    x, rows = np.asarray(test.datasets.values["x"], np.float64), np.asarray(test.datasets.row_mask)
    centres = np.asarray(test.z, np.float64).reshape(len(x), 2, -1)
    distances = np.linalg.norm(x[:, :, None] - centres[:, None], axis=-1)  # (dataset, obs, component)
    member = rows[..., None] & (distances == distances.min(axis=-1, keepdims=True))
    precision = 1.0 + member.sum(axis=1) / COMPONENT_SD**2  # (dataset, component); the prior is N(0, I)
    loc = np.einsum("nok,nod->nkd", member, x) / COMPONENT_SD**2 / precision[..., None]
    noise = np.random.default_rng(0).normal(size=(len(x), num_draws, *loc.shape[1:]))
    z = loc[:, None] + noise / np.sqrt(precision)[:, None, :, None]
    log_p = np.sum(0.5 * np.log(precision / (2.0 * np.pi)) * loc.shape[-1], axis=1) - 0.5 * np.sum(
        noise[:, 0] ** 2, (1, 2)
    )
    joint = jit(lambda *a: lax.map(lambda pair: test.model.log_joint(*pair), a))
    flat = z.astype(np.float32).reshape(len(x), num_draws, -1)
    log_joint = np.asarray(joint(flat[:, 0], test.datasets), np.float64)
    z[:, 1::2] = z[:, 1::2, ::-1]
    return z.astype(np.float32).reshape(flat.shape), log_joint - log_p + np.log(2.0)
