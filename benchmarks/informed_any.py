"""The informed posterior on models without one predictor per row: importance ESS and k-hat, nothing trained.

    python benchmarks/informed_any.py                   # every case, skipping those done
    python benchmarks/informed_any.py --case softmax

Datasets are drawn from the model's own joint, N(0, 1) covariates, 1000 draws of q each; rates as in `informed.py`.
`logistic` and `linear` are read as rows elsewhere; here they are made to do without, for comparison. Rows go to
`results/informed_any.jsonl`.
"""

import argparse
import dataclasses

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from informed import drawn, rate, ratios_by
from jax import nn, random
from rows import append, read

import posterity
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.read.rows import count_directions
from posterity.informed_posterior.read.structure import Unstructured

NAME = "informed_any"


def softmax(x, y=None):
    """Three classes, all weights free."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros((x.shape[1], 3)), 1.0))
    b = numpyro.sample("b", dist.Normal(jnp.zeros(3), 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.CategoricalLogits(x @ w + b), obs=y)


def student_t(x, y=None):
    """Unknown scale and unknown degrees of freedom."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros(x.shape[1]), 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    nu = numpyro.sample("nu", dist.Gamma(2.0, 0.1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.StudentT(nu, x @ w, sigma), obs=y)


def uneven_noise(x, y=None):
    """Mean and log noise sd are both linear in the covariates."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros(x.shape[1]), 1.0))
    v = numpyro.sample("v", dist.Normal(jnp.zeros(x.shape[1]), 0.5))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + b, jnp.exp(x @ v - 0.5)), obs=y)


def zero_inflated(x, y=None):
    """Zero-inflated Poisson, both parts linear."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros(x.shape[1]), 0.5))
    v = numpyro.sample("v", dist.Normal(jnp.zeros(x.shape[1]), 1.0))
    b = numpyro.sample("b", dist.Normal(1.0, 0.5))
    with numpyro.plate("observations", x.shape[0]):
        gate = nn.sigmoid(x @ v - 1.0)
        numpyro.sample("y", dist.ZeroInflatedPoisson(gate, rate=jnp.exp(jnp.minimum(x @ w + b, 8.0))), obs=y)


def saturation(x, y=None):
    """A nonlinear curve: Emax with unknown half point, steepness one."""
    top = numpyro.sample("top", dist.LogNormal(0.0, 0.5))
    half = numpyro.sample("half", dist.LogNormal(0.0, 0.5))
    sigma = numpyro.sample("sigma", dist.HalfNormal(0.5))
    dose = jnp.exp(x[:, 0])
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(top * dose / (half + dose), sigma), obs=y)


def groups(x, y=None):
    """Eight group means around a common one, spread unknown, written non-centred."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    raw = numpyro.sample("raw", dist.Normal(jnp.zeros(8), 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    group = jnp.argmax(x[:, :8], axis=1)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(mu + tau * raw[group], sigma), obs=y)


CASES = {
    "logistic": (posterity.MODELS["logistic_regression"].model, 64, 20, "int32"),
    "linear": (posterity.MODELS["linear_regression"].model, 64, 5, "float32"),
    "softmax": (softmax, 64, 4, "int32"),
    "softmax, wide": (softmax, 256, 10, "int32"),
    "student_t": (student_t, 64, 5, "float32"),
    "uneven_noise": (uneven_noise, 64, 5, "float32"),
    "zero_inflated": (zero_inflated, 128, 4, "int32"),
    "saturation": (saturation, 32, 1, "float32"),
    "groups": (groups, 64, 8, "float32"),
}


def run(case, num_datasets):
    """Rates one case, and appends its row."""
    program, num_rows, num_features, dtype = CASES[case]
    example = {"x": jnp.zeros((num_rows, num_features)), "y": jnp.ones(num_rows, dtype)}
    envelope = posterity.Envelope((num_rows, num_rows))
    simulator = posterity.build_simulator(program, example, envelope, covariates="normal", check=False)
    model, network = simulator.model, posterity.informed(simulator, check=False).network
    structure = network.structure
    if not isinstance(structure, Unstructured):
        probe = simulator.simulate(random.key(0), jnp.ones(16, bool), {})
        structure = Unstructured(count_directions(model, *probe), "made to")
    row = {"case": case, "rows": num_rows, "features": num_features, "latents": model.space.size}
    row |= {"directions": structure.num_directions, "datasets": num_datasets}
    for way, row_network in {"informed": network.row_network, "theory": RowNetwork(key=random.key(0))}.items():
        bent = dataclasses.replace(network, row_network=row_network, structure=structure)

        def draw(dataset, key, bent=bent):
            return drawn(bent(dataset), key)

        ratios, milliseconds = ratios_by(simulator, draw, num_rows, num_datasets, seed=1)
        row[way] = {**rate(ratios), "milliseconds": milliseconds}
        print(f"{case} {way}: {row[way]}", flush=True)
    append(NAME, row)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--datasets", type=int, default=200)
    options = parser.parse_args()
    for case in [options.case] if options.case else CASES:
        if not read(NAME, lambda row, case=case: row["case"] == case):
            run(case, options.datasets)


if __name__ == "__main__":
    main()
