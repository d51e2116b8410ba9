"""The programs of posteriordb posteriors as NumPyro models: same likelihood, priors and bounds as `model.stan`.

Where Stan names no prior, it is flat on the declared bounds. `GLM_Poisson_model` declares both bounds, and gets just
that. An unbounded parameter needs a proper prior here: a normal with standard deviation `FLAT` (half of one for a
scale) that changes no posterior mean by more than a thousandth of its sd, which `tests/test_references.py` checks.

Indices start at 0 instead of 1. All arguments have rows first: what is one entry per group in Stan (`alpha[county]`)
is a plate of a fixed number of groups, indexed by a covariate.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro.distributions import constraints

__all__ = ["FLAT", "POSTERIORS", "OrderedNormal", "Program", "by_stan_name"]

FLAT = 1000.0
MOST_LOG_RATE = 20.0

Arrays = dict[str, np.ndarray]
Draws = Mapping[str, Any]


def kidscore_momhsiq(mom_hs, mom_iq, kid_score=None):
    """Linear regression with flat coefficients."""
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(3), FLAT))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    with numpyro.plate("observations", mom_hs.shape[0]):
        mean = beta[0] + beta[1] * mom_hs + beta[2] * mom_iq
        numpyro.sample("kid_score", dist.Normal(mean, sigma), obs=kid_score)


def logearn_height_male(height, male, log_earn=None):
    """Linear regression, flat in all its parameters."""
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(3), FLAT))
    sigma = numpyro.sample("sigma", dist.HalfNormal(FLAT))
    with numpyro.plate("observations", height.shape[0]):
        mean = beta[0] + beta[1] * height + beta[2] * male
        numpyro.sample("log_earn", dist.Normal(mean, sigma), obs=log_earn)


def logmesquite_logvolume(log_canopy_volume, log_weight=None):
    """Linear regression of few rows, flat in all its parameters."""
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(2), FLAT))
    sigma = numpyro.sample("sigma", dist.HalfNormal(FLAT))
    with numpyro.plate("observations", log_canopy_volume.shape[0]):
        numpyro.sample("log_weight", dist.Normal(beta[0] + beta[1] * log_canopy_volume, sigma), obs=log_weight)


def blr(x, y=None):
    """Linear regression with proper priors."""
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(x.shape[1]), 10.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(10.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ beta, sigma), obs=y)


def wells_dist(distance, switched=None):
    """Logistic regression on an unscaled predictor, flat."""
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(2), FLAT))
    with numpyro.plate("observations", distance.shape[0]):
        numpyro.sample("switched", dist.Bernoulli(logits=beta[0] + beta[1] * distance), obs=switched)


def glm_poisson(year, count=None):
    """Poisson regression on a cubic trend, flat between bounds.

    Prior draws reach log rates above 100, which float32 cannot hold. The cap lies where the likelihood of the data,
    counts of up to some hundreds, is zero to all digits.
    """
    alpha = numpyro.sample("alpha", dist.Uniform(-20.0, 20.0))
    beta1 = numpyro.sample("beta1", dist.Uniform(-10.0, 10.0))
    beta2 = numpyro.sample("beta2", dist.Uniform(-10.0, 10.0))
    beta3 = numpyro.sample("beta3", dist.Uniform(-10.0, 10.0))
    with numpyro.plate("observations", year.shape[0]):
        log_rate = alpha + beta1 * year + beta2 * year**2 + beta3 * year**3
        numpyro.sample("count", dist.Poisson(jnp.exp(jnp.minimum(log_rate, MOST_LOG_RATE))), obs=count)


class OrderedNormal(dist.Distribution):
    """Two or more independent N(0, scale) numbers, given that they ascend: Stan's `ordered` with a normal prior."""

    arg_constraints = {"scale": constraints.positive}  # noqa: RUF012
    support = constraints.ordered_vector

    def __init__(self, scale, size, *, validate_args=None):
        self.scale = scale
        super().__init__((), (size,), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Sorted, they are what those that happen to ascend are."""
        return jnp.sort(self.scale * random.normal(key, (*sample_shape, *self.event_shape)), axis=-1)

    def log_prob(self, value):
        """Of each number by itself, times the number of orders."""
        orders = jnp.sum(jnp.log(jnp.arange(1, self.event_shape[0] + 1)))
        return jnp.sum(dist.Normal(0.0, self.scale).log_prob(value), axis=-1) + orders


def low_dim_gauss_mix(y):
    """Two Gaussians, told apart by the order of their means; theta is the share of the first."""
    mu = numpyro.sample("mu", OrderedNormal(2.0, 2))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0 * jnp.ones(2)))
    theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))
    shares = dist.Categorical(probs=jnp.stack([theta, 1.0 - theta]))
    with numpyro.plate("observations", y.shape[0]):
        numpyro.sample("y", dist.MixtureSameFamily(shares, dist.Normal(mu, sigma)), obs=y)


def eight_schools_centered(school, sigma, y=None, *, num_schools=8):
    """A mean for every school around a common one."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", num_schools):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
    with numpyro.plate("observations", school.shape[0]):
        numpyro.sample("y", dist.Normal(theta[school], sigma), obs=y)


def eight_schools_noncentered(school, sigma, y=None, *, num_schools=8):
    """The same posterior, in deviations from the common mean in units of their spread."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", num_schools):
        theta_trans = numpyro.sample("theta_trans", dist.Normal(0.0, 1.0))
    theta = theta_trans * tau + mu
    with numpyro.plate("observations", school.shape[0]):
        numpyro.sample("y", dist.Normal(theta[school], sigma), obs=y)


def radon_hierarchical_intercept_centered(county, log_uppm, floor_measure, log_radon=None, *, num_counties=85):
    """An intercept for every county, two slopes, two unknown spreads."""
    sigma_alpha = numpyro.sample("sigma_alpha", dist.HalfNormal(1.0))
    sigma_y = numpyro.sample("sigma_y", dist.HalfNormal(1.0))
    mu_alpha = numpyro.sample("mu_alpha", dist.Normal(0.0, 10.0))
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(2), 10.0))
    with numpyro.plate("counties", num_counties):
        alpha = numpyro.sample("alpha", dist.Normal(mu_alpha, sigma_alpha))
    with numpyro.plate("observations", county.shape[0]):
        mean = alpha[county] + beta[0] * log_uppm + beta[1] * floor_measure
        numpyro.sample("log_radon", dist.Normal(mean, sigma_y), obs=log_radon)


def radon_hierarchical_intercept_noncentered(county, log_uppm, floor_measure, log_radon=None, *, num_counties=85):
    """The same posterior, intercepts as deviations from their mean in units of their spread."""
    sigma_alpha = numpyro.sample("sigma_alpha", dist.HalfNormal(1.0))
    sigma_y = numpyro.sample("sigma_y", dist.HalfNormal(1.0))
    mu_alpha = numpyro.sample("mu_alpha", dist.Normal(0.0, 10.0))
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(2), 10.0))
    with numpyro.plate("counties", num_counties):
        alpha_raw = numpyro.sample("alpha_raw", dist.Normal(0.0, 1.0))
    alpha = mu_alpha + sigma_alpha * alpha_raw
    with numpyro.plate("observations", county.shape[0]):
        mean = alpha[county] + beta[0] * log_uppm + beta[1] * floor_measure
        numpyro.sample("log_radon", dist.Normal(mean, sigma_y), obs=log_radon)


def _same(draws: Draws) -> Draws:
    return draws


def _deviations(draws: Draws, deviation: str, mean: str, spread: str, group: str) -> Draws:
    """Draws with the groups' means in place of their deviations."""
    rest = {site: values for site, values in draws.items() if site != deviation}
    means = np.asarray(draws[mean])[:, None] + np.asarray(draws[spread])[:, None] * np.asarray(draws[deviation])
    return {**rest, group: means}


def _with_alpha(draws: Draws) -> Draws:
    return _deviations(draws, "alpha_raw", "mu_alpha", "sigma_alpha", "alpha")


def _with_theta(draws: Draws) -> Draws:
    return _deviations(draws, "theta_trans", "mu", "tau", "theta")


@dataclasses.dataclass(frozen=True)
class Program:
    """One posterior of posteriordb.

    Attributes:
        model: NumPyro model.
        arguments: What `data.json` holds -> the model's arguments.
        quantities: Draws of the model's latents -> those of the reference.
        flat: Latent sites whose flat prior on the reals or half of them is `FLAT` wide instead.
        folder: Where its data lie, if not under its own name.
    """

    model: Callable[..., Any]
    arguments: Callable[[Mapping[str, Any]], Arrays]
    quantities: Callable[[Draws], Draws] = _same
    flat: tuple[str, ...] = ()
    folder: str | None = None


def _reals(**columns: Any) -> Arrays:
    return {name: np.asarray(values, np.float64) for name, values in columns.items()}


def _schools(data: Mapping[str, Any]) -> Arrays:
    return {"school": np.arange(data["J"]), **_reals(sigma=data["sigma"], y=data["y"])}


def _kidiq(data: Mapping[str, Any]) -> Arrays:
    return _reals(mom_hs=data["mom_hs"], mom_iq=data["mom_iq"], kid_score=data["kid_score"])


def _earnings(data: Mapping[str, Any]) -> Arrays:
    return _reals(height=data["height"], male=data["male"], log_earn=np.log(data["earn"]))


def _mesquite(data: Mapping[str, Any]) -> Arrays:
    volume = np.prod([data["diam1"], data["diam2"], data["canopy_height"]], axis=0)
    return _reals(log_canopy_volume=np.log(volume), log_weight=np.log(data["weight"]))


def _wells(data: Mapping[str, Any]) -> Arrays:
    return {**_reals(distance=data["dist"]), "switched": np.asarray(data["switched"])}


def _poisson(data: Mapping[str, Any]) -> Arrays:
    return {**_reals(year=data["year"]), "count": np.asarray(data["C"])}


def _radon(data: Mapping[str, Any]) -> Arrays:
    columns = {name: data[name] for name in ("log_uppm", "floor_measure", "log_radon")}
    return {"county": np.asarray(data["county_idx"]) - 1, **_reals(**columns)}


POSTERIORS = {
    "kidiq-kidscore_momhsiq": Program(kidscore_momhsiq, _kidiq, flat=("beta",)),
    "earnings-logearn_height_male": Program(logearn_height_male, _earnings, flat=("beta", "sigma")),
    "mesquite-logmesquite_logvolume": Program(logmesquite_logvolume, _mesquite, flat=("beta", "sigma")),
    "sblri-blr": Program(blr, lambda data: _reals(x=data["X"], y=data["y"])),
    "wells_data-wells_dist": Program(wells_dist, _wells, flat=("beta",)),
    "GLM_Poisson_Data-GLM_Poisson_model": Program(glm_poisson, _poisson),
    "low_dim_gauss_mix-low_dim_gauss_mix": Program(low_dim_gauss_mix, lambda data: _reals(y=data["y"])),
    "eight_schools-eight_schools_centered": Program(eight_schools_centered, _schools),
    "eight_schools-eight_schools_noncentered": Program(eight_schools_noncentered, _schools, _with_theta),
    "radon_mn-radon_hierarchical_intercept_centered": Program(radon_hierarchical_intercept_centered, _radon),
    "radon_mn-radon_hierarchical_intercept_noncentered": Program(
        radon_hierarchical_intercept_noncentered,
        _radon,
        _with_alpha,
        folder="radon_mn-radon_hierarchical_intercept_centered",
    ),
}


def by_stan_name(draws: Draws) -> dict[str, np.ndarray]:
    """Draws of every scalar under the name that Stan gives it, such as `beta[1]`."""
    named = {}
    for site, values in draws.items():
        values = np.asarray(values)
        if values.ndim == 1:
            named[site] = values
        else:
            named |= {f"{site}[{i + 1}]": values[:, i] for i in range(values.shape[1])}
    return named
