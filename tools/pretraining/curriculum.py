"""What the shipped network is trained on: regressions of many kinds, drawn afresh as terms.

Likelihoods (given their scale): normal, logistic, binomial, Poisson, negative binomial, Student-t, logistic noise.
Priors: normal, Student-t, Laplace. Covariates: independent normal, or columns like those of real tables. Targets come
from the model itself, or from weaker or stronger effects than its prior expects, as real tables do: reverse KL needs
no draw of the joint.
"""

import jax.numpy as jnp
from jax import nn, random
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from posterity.informed_posterior.read.terms import Terms
from posterity.simulation.covariates import TableLike

__all__ = ["LIKELIHOODS", "PRIORS", "SIZES", "draw_terms", "likelihood_value", "prior_value"]

LIKELIHOODS = ("normal", "logistic", "binomial", "poisson", "negative_binomial", "student_t", "logistic_noise")
PRIORS = ("normal", "student_t", "laplace")
FEWEST = (8, 1)  # rows and coefficients
# Most rows and most coefficients, and datasets per step: equal work for each.
SIZES = ((32, 8, 24), (64, 24, 12), (256, 24, 8), (128, 65, 6), (1024, 24, 3), (512, 65, 3))


def likelihood_value(kind: Int[Array, ""], eta: Array, y: Array, shape: Array) -> Float[Array, " obs"]:
    """Log likelihood of rows in nats, up to a constant; `shape` is a scale, a number of trials or a dispersion.

    Args:
        kind: Index in `LIKELIHOODS`.
        eta: Predictors.
        y: Targets.
        shape: Two numbers of the likelihood, see the code.
    """
    first, second = shape[0], shape[1]
    residual = (y - eta) / first
    softplus = nn.softplus(eta)
    values = [
        -0.5 * jnp.square(residual),
        y * eta - softplus,
        y * eta - second * softplus,
        y * eta - jnp.exp(eta),
        y * eta - (y + first) * nn.softplus(eta - jnp.log(first)),
        -0.5 * (second + 1.0) * jnp.log1p(jnp.square(residual) / second),
        -residual - 2.0 * nn.softplus(-residual),
    ]
    return jnp.select([kind == i for i in range(len(values))], values)


def prior_value(kind: Int[Array, ""], z: Array, scale: Array, freedom: Array) -> Float[Array, " latent"]:
    """Log density of coefficients in nats, up to a constant; `kind` is an index in `PRIORS`."""
    x = z / scale
    values = [
        -0.5 * jnp.square(x),
        -0.5 * (freedom + 1.0) * jnp.log1p(jnp.square(x) / freedom),
        -jnp.abs(x),
    ]
    return jnp.select([kind == i for i in range(len(values))], values)


def draw_terms(rng_key: PRNGKeyArray, num_obs: int, num_latents: int) -> tuple[Terms, Float[Array, " latent"]]:
    """One regression, padded to the given sizes, and the coefficients behind its data.

    Rows and coefficients are log-uniform, from `FEWEST` to the given sizes.

    Args:
        rng_key: Consumed here.
        num_obs: Rows, padding included.
        num_latents: Coefficients, an intercept (the last active one) and padding included.
    """
    keys = random.split(rng_key, 8)
    u = random.uniform(keys[0], (12,))
    kind = jnp.floor(u[0] * len(LIKELIHOODS)).astype(jnp.int32)
    # Normal priors are half of all: they are what most models have.
    prior = jnp.where(u[1] < 0.5, 0, jnp.where(u[1] < 0.75, 1, 2))
    rows, size = _log_uniform_int(u[2], FEWEST[0], num_obs), _log_uniform_int(u[3], FEWEST[1], num_latents)
    row_mask, mask = jnp.arange(num_obs) < rows, jnp.arange(num_latents) < size
    table = TableLike().columns(keys[1], num_latents, row_mask)
    x = jnp.where(u[4] < 0.3, random.normal(keys[2], (num_obs, num_latents)), table)
    intercept = (jnp.arange(num_latents) == size - 1) & (u[5] < 0.9)
    x = jnp.where(intercept, 1.0, x) * mask * row_mask[:, None]

    is_count = (kind == 3) | (kind == 4)
    spread = jnp.where(is_count, 0.2 + 1.3 * u[6], jnp.exp(-1.5 + 4.0 * u[6]))  # sd of the predictor
    scale = jnp.where((u[7] < 0.4) & ~is_count, 1.0, spread / jnp.sqrt(size.astype(jnp.float32)))
    freedom = 3.0 + 5.0 * u[8]
    noise = jnp.exp(-2.0 + 3.0 * u[9])
    second = jnp.where(kind == 2, jnp.floor(2.0 + 18.0 * u[10] ** 2), 2.5 + 12.0 * u[10] ** 2)
    shape = jnp.stack([noise, second])
    strength = jnp.where(u[11] < 0.5, 1.0, 2.4 * (u[11] - 0.5))
    z = scale * jnp.where(mask, _prior_draws(keys[3], prior, freedom, num_latents), 0.0)
    truth = z * strength
    y = jnp.where(row_mask, _targets(keys[4], kind, x @ truth, shape), 0.0)
    arrays = {"kind": kind, "y": y, "shape": shape, "prior": prior, "scale": scale, "freedom": freedom}
    return _terms(x, arrays, row_mask, mask), truth


def _terms(
    x: Float[Array, "obs latent"], arrays: dict[str, Array], row_mask: Bool[Array, " obs"], mask: Bool[Array, " latent"]
) -> Terms:
    """Data terms, then prior terms; what is normal of either goes into the quadratic form."""
    num_obs, num_latents = x.shape
    normal_noise, normal_prior = arrays["kind"] == 0, arrays["prior"] == 0
    weight = jnp.where(normal_noise, 1.0 / arrays["shape"][0] ** 2, 0.0)
    own = jnp.where(mask, jnp.where(normal_prior, 1.0 / arrays["scale"] ** 2, 0.0), 1.0)
    return Terms(
        design=jnp.concatenate([x, jnp.diag(mask.astype(jnp.float32))]),
        offset=jnp.zeros(num_obs + num_latents),
        active=jnp.concatenate([row_mask & ~normal_noise, mask & ~normal_prior]),
        is_prior=jnp.arange(num_obs + num_latents) >= num_obs,
        log_density=Partial(_log_density, arrays),
        precision=jnp.diag(own) + weight * x.T @ x,
        linear=weight * x.T @ arrays["y"],
        constant=jnp.zeros(()),
        mask=mask,
    )


def _log_density(arrays: dict[str, Array], eta: Float[Array, " term"]) -> Float[Array, " term"]:
    data, coefficients = jnp.split(eta, [arrays["y"].size])
    return jnp.concatenate(
        [
            likelihood_value(arrays["kind"], data, arrays["y"], arrays["shape"]),
            prior_value(arrays["prior"], coefficients, arrays["scale"], arrays["freedom"]),
        ]
    )


def _log_uniform_int(u: Array, low: int, high: int) -> Int[Array, ""]:
    return jnp.clip(jnp.floor(low * (high + 1.0) ** u / low**u), low, high).astype(jnp.int32)


def _prior_draws(rng_key: PRNGKeyArray, kind: Array, freedom: Array, size: int) -> Float[Array, " latent"]:
    key_normal, key_gamma, key_laplace = random.split(rng_key, 3)
    normal = random.normal(key_normal, (size,))
    heavy = normal * jnp.sqrt(freedom / (2.0 * random.gamma(key_gamma, freedom / 2.0, (size,))))
    return jnp.select([kind == 0, kind == 1], [normal, heavy], random.laplace(key_laplace, (size,)))


def _targets(rng_key: PRNGKeyArray, kind: Array, eta: Array, shape: Array) -> Float[Array, " obs"]:
    keys = random.split(rng_key, 5)
    first, second = shape[0], shape[1]
    u = random.uniform(keys[0], eta.shape, minval=1e-6, maxval=1.0 - 1e-6)
    normal = random.normal(keys[1], eta.shape)
    chance = nn.sigmoid(eta)
    rate = jnp.exp(jnp.minimum(eta, 8.0))
    gamma = random.gamma(keys[2], first, eta.shape) / first
    trials = random.uniform(keys[3], (20, *eta.shape)) < chance
    heavy = normal * jnp.sqrt(second / (2.0 * random.gamma(keys[2], second / 2.0, eta.shape)))
    draws = [
        eta + first * normal,
        (u < chance).astype(jnp.float32),
        jnp.sum(trials & (jnp.arange(20)[:, None] < second), axis=0).astype(jnp.float32),
        random.poisson(keys[4], rate).astype(jnp.float32),
        random.poisson(keys[4], rate * gamma).astype(jnp.float32),
        eta + first * heavy,
        eta + first * (jnp.log(u) - jnp.log1p(-u)),
    ]
    return jnp.select([kind == i for i in range(len(draws))], draws)
