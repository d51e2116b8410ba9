"""Bayesian neural networks: regression and classification with one or two hidden layers."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from posterity.model.builtin.entry import BuiltinModel
from posterity.runtime.errors import lookup

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


def neural_regression(
    x: Float[Array, "obs feature"],
    y: Float[Array, " obs"] | None = None,
    *,
    hidden_size: int = 32,
    num_layers: int = 1,
    activation: str = "tanh",
    prior_sd: float = 1.0,
    noise_sd: float = 0.5,
) -> None:
    """A network with N(0, prior_sd²) weights gives the mean, with known noise (paper, App. C, NLR).

    Args:
        x: Covariates.
        y: Target.
        hidden_size: Units of each hidden layer.
        num_layers: Hidden layers, 1 or 2.
        activation: "relu" or "tanh".
        prior_sd: Prior standard deviation of every weight.
        noise_sd: Known noise standard deviation.
    """
    output = _network(x, 1, hidden_size, num_layers, activation, prior_sd)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(output[:, 0], noise_sd), obs=y)


def neural_classification(
    x: Float[Array, "obs feature"],
    y: Int[Array, " obs"] | None = None,
    *,
    num_classes: int = 2,
    hidden_size: int = 32,
    num_layers: int = 1,
    activation: str = "tanh",
    prior_sd: float = 1.0,
    temperature: float = 1.0,
) -> None:
    """A network with N(0, prior_sd²) weights gives class logits over a temperature (paper, App. C, NLC).

    Args:
        x: Covariates.
        y: Class codes from 0 to `num_classes` - 1.
        num_classes: Number of classes.
        hidden_size: Units of each hidden layer.
        num_layers: Hidden layers, 1 or 2.
        activation: "relu" or "tanh".
        prior_sd: Prior standard deviation of every weight.
        temperature: Divides the logits, in simulated data and in the likelihood alike; the paper's data use 0.1.
    """
    logits = _network(x, num_classes, hidden_size, num_layers, activation, prior_sd)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.CategoricalLogits(logits / temperature), obs=y)


def _network(
    x: Float[Array, "obs feature"],
    num_outputs: int,
    hidden_size: int,
    num_layers: int,
    activation: str,
    prior_sd: float,
) -> Float[Array, "obs output"]:
    """Samples the weights and applies them; only the first layer has biases, as in the paper's code."""
    activate = lookup("activation", activation, ACTIVATIONS)
    weight = dist.Normal(0.0, prior_sd)
    with numpyro.plate("hidden", hidden_size, dim=-1):
        b = numpyro.sample("b", weight)
        with numpyro.plate("features", x.shape[-1], dim=-2):
            w_in = numpyro.sample("w_in", weight)
    h = activate(x @ w_in + b)
    for layer in range(1, num_layers):
        with (
            numpyro.plate(f"hidden_{layer}", hidden_size, dim=-1),
            numpyro.plate(f"hidden_{layer}_in", hidden_size, dim=-2),
        ):
            w_hidden = numpyro.sample(f"w_{layer}", weight)
        h = activate(h @ w_hidden)
    with (
        numpyro.plate("outputs", num_outputs, dim=-1),
        numpyro.plate("hidden_out", hidden_size, dim=-2),
    ):
        w_out = numpyro.sample("w_out", weight)
    return h @ w_out


ENTRY_REGRESSION = BuiltinModel(
    neural_regression, "Bayesian neural network, real target", columns=(1, 2), standardized=False, informed=False
)
ENTRY_CLASSIFICATION = BuiltinModel(
    neural_classification,
    "Bayesian neural network, class target",
    columns=(1, 2),
    target=("y", "int32"),
    standardized=False,
    informed=False,
)
