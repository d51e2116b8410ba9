"""Which of NumPyro's distributions XLA's CPU compiler gets wrong: by its own options, and by those of the library.

    python benchmarks/compiler.py                           # every distribution, skipping those done
    python benchmarks/compiler.py --only Beta,Normal --draws 600

The program is that of every log joint: the log probabilities of 64 rows, summed, at 1000 draws of the parameters, that
is `jit(vmap(sum of log_prob))`. Its parameters are draws of N(0, 1) mapped to where they belong; the rows are a sample
at the first of them. It is held against the same sum evaluated operation by operation. Wrong is a draw that is off by
more than rounding: by 10^-4 of the sum of the absolute log probabilities of its rows, at least 10^-4 nats, and by ten
times what float32 costs there; or finite in one and not in the other. Distributions of other distributions (truncated,
mixed, transformed ones) are looked at where they have a name of their own. Rows go to `results/compiler.jsonl`, one for
each distribution and way to compile.
"""

import argparse
import functools
import importlib.metadata
import inspect
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random, vmap
from jaxtyping import Array
from numpyro.distributions import biject_to, constraints
from rows import append, read

from posterity.runtime.compile import compiler_options, jit

NAME = "compiler"
NUM_DRAWS, NUM_ROWS, NUM_UNCONSTRAINED = 1000, 64, 32
EVENT_SIZE = 3
ROUNDING, CANCELLED = 1e-4, 10.0
FIXED = {"total_count": 20, "dimension": EVENT_SIZE, "num_steps": 8}
"""Parameters that say how many there are of something."""
CHAIN = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])

Make = Callable[[Array], dist.Distribution]


def tril(z: Array) -> Array:
    """Cholesky factor of a covariance of three."""
    return biject_to(constraints.lower_cholesky)(z)


MADE: dict[str, Make] = {
    "CAR": lambda z: dist.CAR(z[0], 0.9 * jnp.tanh(z[1]), jnp.exp(z[2]), CHAIN),
    "CirculantNormal": lambda z: dist.CirculantNormal(z[:3], covariance_rfft=jnp.exp(z[3:5])),
    "DiscreteUniform": lambda z: dist.DiscreteUniform(0, 20 + jnp.floor(jnp.exp(z[0])).astype(int)),
    "DoublyTruncatedPowerLaw": lambda z: dist.DoublyTruncatedPowerLaw(z[0], 0.1, 5.0 + jnp.exp(z[1])),
    "GaussianStateSpace": lambda z: dist.GaussianStateSpace(
        8, 0.3 * jnp.reshape(z[6:15], (3, 3)), scale_tril=tril(z[:6])
    ),
    "HurdleNegativeBinomial2": lambda z: dist.HurdleNegativeBinomial2(
        jax.nn.sigmoid(z[0]), jnp.exp(z[1]), jnp.exp(z[2])
    ),
    "InverseWishart": lambda z: dist.InverseWishart(3.0 + jnp.exp(z[6]), scale_tril=tril(z[:6])),
    "InverseWishartCholesky": lambda z: dist.InverseWishartCholesky(3.0 + jnp.exp(z[6]), scale_tril=tril(z[:6])),
    "LogUniform": lambda z: dist.LogUniform(0.1 * jax.nn.sigmoid(z[0]), 5.0 + jnp.exp(z[1])),
    "LowRankMultivariateNormal": lambda z: dist.LowRankMultivariateNormal(
        z[:3], jnp.reshape(z[3:9], (3, 2)), jnp.exp(z[9:12])
    ),
    "MatrixNormal": lambda z: dist.MatrixNormal(jnp.reshape(z[:9], (3, 3)), tril(z[9:15]), tril(z[15:21])),
    "MixtureSameFamily": lambda z: dist.MixtureSameFamily(
        dist.Categorical(logits=z[:3]), dist.Normal(z[3:6], jnp.exp(z[6:9]))
    ),
    "MultivariateNormal": lambda z: dist.MultivariateNormal(z[6:9], scale_tril=tril(z[:6])),
    "MultivariateNormal, covariance": lambda z: dist.MultivariateNormal(z[6:9], tril(z[:6]) @ tril(z[:6]).T),
    "MultivariateStudentT": lambda z: dist.MultivariateStudentT(jnp.exp(z[9]), z[6:9], tril(z[:6])),
    "SineBivariateVonMises": lambda z: dist.SineBivariateVonMises(
        jnp.tanh(z[0]), jnp.tanh(z[1]), jnp.exp(z[2]), jnp.exp(z[3]), weighted_correlation=jax.nn.sigmoid(z[4])
    ),
    "StudentT": lambda z: dist.StudentT(jnp.exp(z[0]), z[1], jnp.exp(z[2])),
    "TruncatedCauchy": lambda z: dist.TruncatedCauchy(z[0], jnp.exp(z[1]), low=-1.0, high=2.0),
    "TruncatedNormal": lambda z: dist.TruncatedNormal(z[0], jnp.exp(z[1]), low=-1.0, high=2.0),
    "Uniform": lambda z: dist.Uniform(-5.0 - jnp.exp(z[0]), 5.0 + jnp.exp(z[1])),
    "Wishart": lambda z: dist.Wishart(3.0 + jnp.exp(z[6]), scale_tril=tril(z[:6])),
    "WishartCholesky": lambda z: dist.WishartCholesky(3.0 + jnp.exp(z[6]), scale_tril=tril(z[:6])),
    "ZeroInflatedNegativeBinomial2": lambda z: dist.ZeroInflatedNegativeBinomial2(
        jnp.exp(z[0]), jnp.exp(z[1]), gate=jax.nn.sigmoid(z[2])
    ),
    "ZeroSumNormal": lambda z: dist.ZeroSumNormal(jnp.exp(z[0]), (4,)),
}
"""Distributions whose parameters depend on each other, or can be given in several ways."""


def from_constraints(kind: type[dist.Distribution], z: Array) -> dist.Distribution:
    """A distribution whose parameters need nothing but their own constraints.

    Args:
        kind: Its class.
        z: Unconstrained numbers, of which as many are used as the parameters have.

    Raises:
        LookupError: A parameter has no constraint of its own.
    """
    given, used = {}, 0
    for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]:
        name = parameter.name
        if name in FIXED:
            given[name] = FIXED[name]
        elif name in kind.arg_constraints and not kind.arg_constraints[name].is_discrete:
            constraint = kind.arg_constraints[name]
            to_constraint = biject_to(constraint)
            shape = to_constraint.inverse_shape((EVENT_SIZE,) * constraint.event_dim)
            size = int(np.prod(shape))
            given[name] = to_constraint(jnp.reshape(z[used : used + size], shape))
            used += size
        elif parameter.default is parameter.empty:
            raise LookupError(f"parameter '{name}' of {kind.__name__} has no constraint")
    if not given:
        raise LookupError(f"{kind.__name__} has no parameters")
    return kind(**given)


def distributions() -> tuple[dict[str, Make], list[str]]:
    """How to make each distribution from unconstrained numbers; and the names of the classes that are left out."""
    found, left_out = dict(MADE), []
    for name in dist.__all__:
        kind = getattr(dist, name)
        if name in MADE or not (inspect.isclass(kind) and issubclass(kind, dist.Distribution)):
            continue
        try:
            made = from_constraints(kind, jnp.zeros(NUM_UNCONSTRAINED))
            made.sample(random.key(0), (2,))
        except (LookupError, NotImplementedError, ValueError, TypeError):
            left_out.append(name)
            continue
        found[name] = functools.partial(from_constraints, kind)
    return dict(sorted(found.items())), left_out


def by_operations(make: Make, z: Array, values: Array) -> np.ndarray:
    """Log probability of each row at each draw, one operation after the other, shape `(draw, row)`."""
    with jax.disable_jit():  # what JAX compiles inside its own functions could be wrong, too
        return np.asarray(vmap(lambda z: jnp.ravel(make(z).log_prob(values)))(z), np.float64)


def _doubled(values: Array) -> Array:
    return jnp.asarray(values, float) if jnp.issubdtype(values.dtype, jnp.floating) else values


def rate(name: str, make: Make, num_draws: int) -> None:
    """Compiles one distribution in both ways and appends their rows."""
    z = random.normal(random.key(0), (num_draws, NUM_UNCONSTRAINED))
    values = make(z[0]).sample(random.key(1), (NUM_ROWS,))

    def program(z: Array) -> Array:
        return jnp.sum(make(z).log_prob(values))

    rows = by_operations(make, z, values)
    exact, size = rows.sum(axis=1), np.abs(rows).sum(axis=1)
    ways = {"default": (jax.jit, {}), "library": (jit, compiler_options())}
    for way, (compiled, options) in ways.items():
        found = np.asarray(compiled(vmap(program))(z), np.float64)
        both = np.isfinite(found) & np.isfinite(exact)
        error = np.where((found == exact) | (np.isnan(found) & np.isnan(exact)), 0.0, np.inf)
        error[both] = np.abs(found[both] - exact[both])
        wrong = error > ROUNDING * np.maximum(1.0, np.where(np.isfinite(size), size, 1.0))
        if wrong.any():  # where large numbers cancel, rounding weighs more than their sum tells
            with jax.enable_x64(True):
                precise = by_operations(make, jnp.asarray(z, float), _doubled(values)).sum(axis=1)
            wrong &= error > CANCELLED * np.nan_to_num(np.abs(exact - precise))
        off = error[wrong & np.isfinite(error)]
        row = {
            "distribution": name,
            "way": way,
            "draws": num_draws,
            "rows": NUM_ROWS,
            "wrong": int(wrong.sum()),
            "first_wrong": int(np.argmax(wrong)) if wrong.any() else None,
            "not_finite": int(np.isinf(error).sum()),
            "largest_error": float(np.max(off, initial=0.0)),
            "largest_rounding": float(np.max((error / np.maximum(size, 1.0))[both & ~wrong], initial=0.0)),
            "options": options,
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
            "jaxlib": importlib.metadata.version("jaxlib"),
            "numpyro": importlib.metadata.version("numpyro"),
        }
        append(NAME, row)
        print(
            f"{name} {way}: {row['wrong']} of {num_draws} wrong, largest error {row['largest_error']:.3g} nats",
            flush=True,
        )


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of distributions, separated by commas")
    parser.add_argument("--draws", type=int, default=NUM_DRAWS)
    options = parser.parse_args()
    found, left_out = distributions()
    done = {row["distribution"] for row in read(NAME)}
    for name in options.only.split(",") if options.only else [name for name in found if name not in done]:
        rate(name, found[name], options.draws)
    print(f"{len(found)} distributions; left out: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
