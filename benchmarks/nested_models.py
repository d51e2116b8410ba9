"""Models of several scales, of several predictors a row, and without rows, as people write them in NumPyro.

Groups are picked by integer arguments; rows that are exchangeable live in the plate `observations`. Sizes of groups,
and which of two ways of writing group effects is meant, are bound by `functools.partial` in `nested_cases.py`.
"""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array, lax, nn

JITTER = 1e-4
"""Of a Gaussian process' amplitude squared: 32-bit Cholesky factors need as much."""


def linear_part(x: Array, sd: float = 1.0) -> Any:
    """`x @ w`, shape `(obs,)`."""
    w: Any = numpyro.sample("w", dist.Normal(0.0, sd).expand([x.shape[1]]).to_event(1))
    return x @ w


def scale(name: str, spread: float = 1.0) -> Any:
    """A half-normal sd."""
    return numpyro.sample(name, dist.HalfNormal(spread))


def group_effects(name: str, levels: int, mean: Any, sd: Any, *, centred: bool) -> Any:
    """Normal effects of a factor's levels around a mean, by themselves or in units of their sd, shape `(levels,)`."""
    with numpyro.plate(f"{name}_levels", levels):
        if centred:
            return numpyro.sample(name, dist.Normal(mean, sd))
        raw: Any = numpyro.sample(f"{name}_raw", dist.Normal(0.0, 1.0))
    return mean + sd * raw


def normal_intercepts(x, group, y=None, *, num_groups, centred):
    """Random intercepts, normal noise of unknown sd."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    a = group_effects("a", num_groups, mu, scale("tau"), centred=centred)
    mean, sigma = a[group] + linear_part(x), scale("sigma")
    with numpyro.plate("observations", group.shape[0]):
        numpyro.sample("y", dist.Normal(mean, sigma), obs=y)


def logistic_intercepts(x, group, y=None, *, num_groups, centred):
    """Random intercepts, zeros and ones."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    logits = group_effects("a", num_groups, mu, scale("tau"), centred=centred)[group] + linear_part(x)
    with numpyro.plate("observations", group.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)


def poisson_intercepts(x, group, y=None, *, num_groups, centred):
    """Random intercepts, counts."""
    mu = numpyro.sample("mu", dist.Normal(1.0, 0.5))
    log_rate = group_effects("a", num_groups, mu, scale("tau", 0.7), centred=centred)[group] + linear_part(x, 0.3)
    with numpyro.plate("observations", group.shape[0]):
        numpyro.sample("y", dist.Poisson(jnp.exp(log_rate)), obs=y)


def correlated_slopes(x, group, y=None, *, num_groups, centred):
    """A correlated intercept and slope for each group; `x` is one number a row."""
    mean: Any = numpyro.sample("mean", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    sds: Any = numpyro.sample("sds", dist.HalfNormal(1.0).expand([2]).to_event(1))
    factor: Any = numpyro.sample("factor", dist.LKJCholesky(2, 2.0))
    tril = sds[:, None] * factor
    with numpyro.plate("groups", num_groups):
        if centred:
            a: Any = numpyro.sample("a", dist.MultivariateNormal(mean, scale_tril=tril))
        else:
            raw: Any = numpyro.sample("a_raw", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
            a = mean + raw @ tril.T
    sigma = scale("sigma")
    with numpyro.plate("observations", group.shape[0]):
        numpyro.sample("y", dist.Normal(a[group, 0] + a[group, 1] * x, sigma), obs=y)


def crossed(row, column, y=None, *, sizes, centred=True, noise=None):
    """Two crossed factors; the sd of the noise is unknown where it is not given."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    a = group_effects("a", sizes[0], 0.0, scale("tau_a"), centred=centred)
    b = group_effects("b", sizes[1], 0.0, scale("tau_b"), centred=centred)
    sigma = scale("sigma") if noise is None else noise
    with numpyro.plate("observations", row.shape[0]):
        numpyro.sample("y", dist.Normal(mu + a[row] + b[column], sigma), obs=y)


def one_parameter_items(person, item, y=None, *, sizes):
    """Item response, 1PL: abilities and difficulties, both of unknown spread."""
    ability = group_effects("ability", sizes[0], 0.0, scale("sd_ability"), centred=True)
    mean = numpyro.sample("mean_difficulty", dist.Normal(0.0, 1.0))
    difficulty = group_effects("difficulty", sizes[1], mean, scale("sd_difficulty"), centred=True)
    with numpyro.plate("observations", person.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=ability[person] - difficulty[item]), obs=y)


def meta_analysis(study, se, y=None, *, num_studies):
    """Studies with known standard errors, deviations in units of their spread."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 1.0)), scale("tau", 0.5)
    effect = group_effects("effect", num_studies, mu, tau, centred=False)
    with numpyro.plate("observations", study.shape[0]):
        numpyro.sample("y", dist.Normal(effect[study], se), obs=y)


def meta_analysis_in_one_plate(se, y=None):
    """The same as most people write it: effect and observation in one plate."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 1.0)), scale("tau", 0.5)
    with numpyro.plate("studies", se.shape[0]):
        raw = numpyro.sample("effect_raw", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu + tau * raw, se), obs=y)


def uneven_noise(x, y=None):
    """Mean and log noise sd are both linear in the covariates."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros(x.shape[1]), 1.0))
    v = numpyro.sample("v", dist.Normal(jnp.zeros(x.shape[1]), 0.5))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + b, jnp.exp(x @ v - 0.5)), obs=y)


def student_t(x, y=None):
    """Unknown scale and unknown degrees of freedom."""
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    nu = numpyro.sample("nu", dist.Gamma(2.0, 0.1))
    mean, sigma = linear_part(x) + b, scale("sigma")
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.StudentT(nu, mean, sigma), obs=y)


def ordinal(x, y=None, *, num_levels=4):
    """Ordinal regression, cutpoints free."""
    prior = dist.Normal(jnp.zeros(num_levels - 1), 1.0).to_event(1)
    cutpoints = numpyro.sample("cutpoints", dist.TransformedDistribution(prior, dist.transforms.OrderedTransform()))
    eta = linear_part(x)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.OrderedLogistic(eta, cutpoints), obs=y)


def softmax(x, y=None):
    """Three classes, all weights free."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros((x.shape[1], 3)), 1.0))
    b = numpyro.sample("b", dist.Normal(jnp.zeros(3), 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.CategoricalLogits(x @ w + b), obs=y)


def quantile(x, y=None, *, level=0.9):
    """Regression of a quantile, asymmetric Laplace of unknown scale."""
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    mean, sigma = linear_part(x) + b, scale("sigma")
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.AsymmetricLaplaceQuantile(mean, sigma, level), obs=y)


def weibull(x, censored, y=None):
    """Weibull survival; where `censored` is 1, the event came later than `y`."""
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    shape = numpyro.sample("shape", dist.LogNormal(0.0, 0.5))
    event = dist.Weibull(jnp.exp(linear_part(x, 0.5) + b), shape)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.RightCensoredDistribution(event, censored), obs=y)


def log_normal(x, censored, y=None):
    """Log-normal survival, censored alike."""
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    event = dist.LogNormal(linear_part(x, 0.5) + b, scale("sigma"))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.RightCensoredDistribution(event, censored), obs=y)


def zero_inflated(x, y=None):
    """Zero-inflated Poisson with one rate of inflation."""
    b = numpyro.sample("b", dist.Normal(1.0, 0.5))
    gate = numpyro.sample("gate", dist.Beta(2.0, 4.0))
    rate = jnp.exp(linear_part(x, 0.3) + b)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.ZeroInflatedPoisson(gate, rate=rate), obs=y)


def zero_inflated_twice(x, y=None):
    """Zero-inflated Poisson, the inflation with coefficients of its own."""
    b = numpyro.sample("b", dist.Normal(1.0, 0.5))
    v = numpyro.sample("v", dist.Normal(jnp.zeros(x.shape[1]), 1.0))
    gate, rate = nn.sigmoid(x @ v - 1.0), jnp.exp(linear_part(x, 0.3) + b)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.ZeroInflatedPoisson(gate, rate=rate), obs=y)


def multinomial(x, y=None, *, total=20):
    """Counts of three classes."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros((x.shape[1], 3)), 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Multinomial(total, logits=x @ w), obs=y)


def cauchit(x, y=None):
    """Zeros and ones by a Cauchy link."""
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    probability = 0.5 + jnp.arctan(linear_part(x) + b) / jnp.pi
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(probs=probability), obs=y)


def von_mises(x, y=None):
    """Angles around a direction that turns with the covariates."""
    b = numpyro.sample("b", dist.Normal(0.0, 0.5))
    concentration = numpyro.sample("concentration", dist.LogNormal(1.0, 0.5))
    direction = 2.0 * jnp.arctan(linear_part(x, 0.3) + b)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.VonMises(direction, concentration), obs=y)


def beta(x, y=None):
    """Shares with unknown concentration."""
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    phi = numpyro.sample("phi", dist.LogNormal(2.0, 0.7))
    mean = nn.sigmoid(linear_part(x, 0.5) + b)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.BetaProportion(mean, phi), obs=y)


def kernel(x: Array) -> tuple[Array, Any]:
    """Squared-exponential covariance of points `(obs,)` with jitter, and the sd of the noise; three hyperparameters."""
    amplitude: Any = numpyro.sample("amplitude", dist.HalfNormal(1.5))
    lengthscale: Any = numpyro.sample("lengthscale", dist.LogNormal(0.0, 0.5))
    distances = (x[:, None] - x) / lengthscale
    covariance = amplitude**2 * (jnp.exp(-0.5 * distances**2) + JITTER * jnp.eye(len(x)))
    return covariance, scale("noise", 0.5)


def marginal_process(x, y=None):
    """A Gaussian process with its values integrated out: one multivariate normal over all rows."""
    covariance, noise = kernel(x)
    whole = covariance + noise**2 * jnp.eye(len(x))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), covariance_matrix=whole), obs=y)


def latent_process(x, y=None):
    """The same with a latent value at every point, non-centred."""
    covariance, noise = kernel(x)
    raw: Any = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([len(x)]).to_event(1))
    values = jnp.linalg.cholesky(covariance) @ raw
    with numpyro.plate("observations", len(x)):
        numpyro.sample("y", dist.Normal(values, noise), obs=y)


def autoregression(y):
    """AR(2), the first two values given."""
    c = numpyro.sample("c", dist.Normal(0.0, 1.0))
    phi: Any = numpyro.sample("phi", dist.Normal(0.0, 0.5).expand([2]).to_event(1))
    mean = c + phi[0] * y[1:-1] + phi[1] * y[:-2]
    numpyro.sample("y", dist.Normal(mean, scale("sigma")), obs=y[2:])


def autoregression_on_lags(lags, y=None):
    """AR(2), the two values before each as covariates."""
    c = numpyro.sample("c", dist.Normal(0.0, 1.0))
    phi: Any = numpyro.sample("phi", dist.Normal(0.0, 0.5).expand([2]).to_event(1))
    sigma = scale("sigma")
    with numpyro.plate("observations", lags.shape[0]):
        numpyro.sample("y", dist.Normal(c + lags @ phi, sigma), obs=y)


def variances(y: Array, mu: Any, alpha0: Any, alpha1: Any, beta1: Any) -> Array:
    """GARCH(1,1) variance of every value given those before; the first is the long-run one."""

    def step(variance: Any, value: Any) -> tuple[Any, Any]:
        return alpha0 + alpha1 * (value - mu) ** 2 + beta1 * variance, variance

    return lax.scan(step, alpha0 / (1.0 - alpha1 - beta1), y)[1]


def garch(y):
    """GARCH(1,1) by persistence and the share of it that is news."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    alpha0 = numpyro.sample("alpha0", dist.HalfNormal(0.5))
    persistence: Any = numpyro.sample("persistence", dist.Beta(8.0, 2.0))
    news: Any = numpyro.sample("news", dist.Beta(2.0, 4.0))
    variance = variances(y, mu, alpha0, persistence * news, persistence * (1.0 - news))
    numpyro.sample("y", dist.Normal(mu, jnp.sqrt(variance)), obs=y)


def garch_bounded(y):
    """GARCH(1,1) as in posteriordb: the bound of one coefficient is what the other leaves."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    alpha0 = numpyro.sample("alpha0", dist.HalfNormal(0.5))
    alpha1: Any = numpyro.sample("alpha1", dist.Uniform(0.0, 1.0))
    beta1 = numpyro.sample("beta1", dist.Uniform(0.0, 1.0 - alpha1))
    numpyro.sample("y", dist.Normal(mu, jnp.sqrt(variances(y, mu, alpha0, alpha1, beta1))), obs=y)


def local_level(y):
    """A level that walks, seen with noise; steps in units of their sd."""
    start, step = numpyro.sample("start", dist.Normal(0.0, 1.0)), scale("step", 0.5)
    raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([y.shape[0] - 1]).to_event(1))
    level = start + jnp.concatenate([jnp.zeros(1), step * jnp.cumsum(raw)])
    numpyro.sample("y", dist.Normal(level, scale("sigma")), obs=y)


def local_level_centred(y):
    """The same, the level by itself."""
    start, step = numpyro.sample("start", dist.Normal(0.0, 1.0)), scale("step", 0.5)
    walk = numpyro.sample("walk", dist.GaussianRandomWalk(step, num_steps=y.shape[0]))
    numpyro.sample("y", dist.Normal(start + walk, scale("sigma")), obs=y)
