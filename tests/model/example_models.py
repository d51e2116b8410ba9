"""Models in the idioms of NumPyro's own examples and tutorials, each with one small dataset.

Plates with any name or none, vectors without plates, optional arguments, options bound by `functools.partial`,
`to_event`, reparametrised sites: whatever their authors felt free to write must be served as it stands.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions.transforms import OrderedTransform, SimplexToOrderedTransform
from numpyro.infer.reparam import TransformReparam

NUM_ROWS = 7


class Example(NamedTuple):
    """A model and one dataset: argument name -> array with rows first."""

    model: Callable[..., Any]
    dataset: Mapping[str, np.ndarray]


def coin(data):
    fairness = numpyro.sample("fairness", dist.Beta(2.0, 2.0))
    numpyro.sample("obs", dist.Bernoulli(fairness), obs=data)


def batting(at_bats, hits=None):
    phi = numpyro.sample("phi", dist.Uniform(0, 1))
    with numpyro.plate("num_players", at_bats.shape[0]):
        return numpyro.sample("obs", dist.Binomial(at_bats, probs=phi), obs=hits)


def divorce_rate(marriage=None, age=None, divorce=None):
    mean = numpyro.sample("a", dist.Normal(0.0, 0.2))
    if marriage is not None:
        mean = mean + numpyro.sample("bM", dist.Normal(0.0, 0.5)) * marriage
    if age is not None:
        mean = mean + numpyro.sample("bA", dist.Normal(0.0, 0.5)) * age
    sigma = numpyro.sample("sigma", dist.Exponential(1.0))
    numpyro.deterministic("mean", mean)
    numpyro.sample("obs", dist.Normal(mean, sigma), obs=divorce)


def logistic(data, labels):
    dim = jnp.shape(data)[1]
    coefs = numpyro.sample("coefs", dist.Normal(jnp.zeros(dim), jnp.ones(dim)))
    return numpyro.sample("obs", dist.Bernoulli(logits=jnp.dot(data, coefs)), obs=labels)


def neural_network(X, Y, D_H, D_Y=1):  # noqa: N803
    num, dim = X.shape
    w1 = numpyro.sample("w1", dist.Normal(jnp.zeros((dim, D_H)), jnp.ones((dim, D_H))))
    w2 = numpyro.sample("w2", dist.Normal(jnp.zeros((D_H, D_Y)), jnp.ones((D_H, D_Y))))
    output = jnp.matmul(jnp.tanh(jnp.matmul(X, w1)), w2)
    precision = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))
    with numpyro.plate("data", num):
        numpyro.sample("Y", dist.Normal(output, 1.0 / jnp.sqrt(precision)).to_event(1), obs=Y)


def horseshoe(X, Y):  # noqa: N803
    dim = X.shape[1]
    lambdas = numpyro.sample("lambdas", dist.HalfCauchy(jnp.ones(dim)))
    tau = numpyro.sample("tau", dist.HalfCauchy(jnp.ones(1)))
    unscaled = numpyro.sample("unscaled_betas", dist.Normal(0.0, jnp.ones(dim)))
    betas = numpyro.deterministic("betas", tau * lambdas * unscaled)
    precision = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))
    numpyro.sample("Y", dist.Normal(jnp.dot(X, betas), 1.0 / jnp.sqrt(precision)), obs=Y)


def manuscripts(y=None):
    drinks = numpyro.sample("p", dist.Beta(2.0, 5.0))
    rate = numpyro.sample("rate", dist.LogNormal(0.0, 0.7))
    numpyro.sample("y", dist.ZeroInflatedPoisson(drinks, rate), obs=y)


def ordinal(X, Y, num_classes=4):  # noqa: N803
    effects = numpyro.sample("b", dist.Normal(0, 1).expand([X.shape[1]]).to_event(1))
    cutpoints = numpyro.sample(
        "c", dist.TransformedDistribution(dist.Normal(0, 1).expand([num_classes - 1]), OrderedTransform())
    )
    with numpyro.plate("obs", X.shape[0]):
        numpyro.sample("Y", dist.OrderedLogistic(X @ effects, cutpoints), obs=Y)


def ordinal_anchored(X, Y, num_classes=3, concentration=1.0):  # noqa: N803
    with numpyro.plate("coefs", X.shape[1]):
        effects = numpyro.sample("b", dist.Normal(0, 1))
    with handlers.reparam(config={"c": TransformReparam()}):
        cutpoints = numpyro.sample(
            "c",
            dist.TransformedDistribution(
                dist.Dirichlet(jnp.full(num_classes, concentration)), SimplexToOrderedTransform(0.0)
            ),
        )
    numpyro.sample("Y", dist.OrderedLogistic(X @ effects, cutpoints), obs=Y)


def mixture(data, K):  # noqa: N803
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(K)))
    scale = numpyro.sample("scale", dist.Gamma(3.0, 3.0))
    with numpyro.plate("components", K):
        locs = numpyro.sample("locs", dist.Normal(0, 10))
    with numpyro.plate("data", len(data)):
        numpyro.sample("obs", dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(locs, scale)), obs=data)


def robust(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0, 1), sample_shape=(x.shape[1],))
    nu = numpyro.sample("nu", dist.Gamma(2.0, 0.1))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.StudentT(nu, x @ slope, scale), obs=y)


def overdispersed(x, y=None):
    a = numpyro.sample("a", dist.Normal(1.0, 0.5))
    b = numpyro.sample("b", dist.Normal(0.0, 0.5))
    phi = numpyro.sample("phi", dist.Exponential(1.0))
    numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(a + b * x), phi), obs=y)


def group_effects(group, x, y=None, *, num_groups):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("groups", num_groups):
        offset = numpyro.sample("offset", dist.Normal(mu, tau))
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("data", len(group)):
        numpyro.sample("obs", dist.Normal(offset[group] + slope[group] * x, sigma), obs=y)


def gamma_regression(x, amount=None):
    coefs = numpyro.sample("coefs", dist.Normal(0.0, 0.5).expand([x.shape[-1]]))
    shape = numpyro.sample("shape", dist.Gamma(4.0, 2.0))
    numpyro.sample("amount", dist.Gamma(shape, shape / jnp.exp(x @ coefs)), obs=amount)


def correlated(y):
    d = y.shape[1]
    theta = numpyro.sample("theta", dist.HalfCauchy(jnp.ones(d)))
    cholesky = numpyro.sample("L_omega", dist.LKJCholesky(d, concentration=1.0))
    scale_tril = jnp.matmul(jnp.diag(jnp.sqrt(theta)), cholesky)
    with numpyro.plate("observations", y.shape[0]):
        numpyro.sample("obs", dist.MultivariateNormal(jnp.zeros(d), scale_tril=scale_tril), obs=y)


def proportion(design_matrix, outcome=None):
    prior = dist.MultivariateNormal(loc=0.0, covariance_matrix=jnp.eye(design_matrix.shape[1]))
    beta = numpyro.sample("coefficients", prior)
    with numpyro.plate("data", design_matrix.shape[0]):
        numpyro.sample("obs", dist.Bernoulli(logits=design_matrix.dot(beta)), obs=outcome)


def two_outcomes(x, first=None, second=None):
    rate = numpyro.sample("rate", dist.HalfNormal(2.0))
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        first = numpyro.sample("first", dist.Poisson(rate), obs=first)
        numpyro.sample("second", dist.Normal(x + effect * jnp.log1p(first), 1.0), obs=second)


_rng = np.random.default_rng(3)
_x1, _x2, _x3 = _rng.normal(size=NUM_ROWS), _rng.normal(size=(NUM_ROWS, 2)), _rng.normal(size=(NUM_ROWS, 3))
_coins, _counts = _rng.integers(0, 2, NUM_ROWS), _rng.poisson(3.0, NUM_ROWS)

EXAMPLES: dict[str, Example] = {
    "coin": Example(coin, {"data": _coins}),
    "batting": Example(batting, {"at_bats": 20 + _counts, "hits": 4 + _coins}),
    "divorce_rate": Example(divorce_rate, {"marriage": _x1, "age": _x2[:, 0], "divorce": _x2[:, 1]}),
    "divorce_rate_by_age": Example(divorce_rate, {"age": _x1, "divorce": _x2[:, 0]}),
    "logistic": Example(logistic, {"data": _x3, "labels": _coins}),
    "neural_network": Example(functools.partial(neural_network, D_H=4), {"X": _x2, "Y": _x1[:, None]}),
    "horseshoe": Example(horseshoe, {"X": _x3, "Y": _x1}),
    "manuscripts": Example(manuscripts, {"y": _counts}),
    "ordinal": Example(ordinal, {"X": _x2, "Y": _counts % 4}),
    "ordinal_anchored": Example(ordinal_anchored, {"X": _x2, "Y": _counts % 3}),
    "mixture": Example(functools.partial(mixture, K=3), {"data": _x1}),
    "robust": Example(robust, {"x": _x2, "y": _x1}),
    "overdispersed": Example(overdispersed, {"x": _x1, "y": _counts}),
    "group_effects": Example(
        functools.partial(group_effects, num_groups=3), {"group": _counts % 3, "x": _x1, "y": _x2[:, 0]}
    ),
    "gamma_regression": Example(gamma_regression, {"x": _x2, "amount": np.exp(_x1)}),
    "correlated": Example(correlated, {"y": _x3}),
    "proportion": Example(proportion, {"design_matrix": _x3, "outcome": _coins}),
    "two_outcomes": Example(two_outcomes, {"x": _x1, "first": _counts, "second": _x2[:, 0]}),
}
