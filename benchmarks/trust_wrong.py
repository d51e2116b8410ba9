"""Is a q that is wrong on purpose seen, or corrected? Gaussian posteriors, whose means and sds are known.

    python benchmarks/trust_wrong.py                        # all cases in 2, 5 and 20 latents, 500 datasets each
    python benchmarks/trust_wrong.py --only narrow --datasets 100

Cases: q exact; half as wide; half as wide along one oblique direction; without a correlation of -0.99 between two
latents, with the sds of the margins, and with those given all others (as reverse KL leaves it); shifted by 0.5 sd along
one direction, and along all; twice as wide. 1000 draws, what `infer` adds to them, no sampling. Accepted and wrong:
`corrected`, but a mean is off by more than 0.25 sd or an sd by 25%. Beside it the same with the rule before: 1000 draws
of q alone, k-hat, a tenth of effective draws. Rows go to `results/trust_wrong.jsonl`.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rows import append, read

from posterity.amortized.families.base import AbstractTransport
from posterity.amortized.families.noise import base_noise
from posterity.inference.draw import Drawn
from posterity.inference.rounds import Source, more_rounds, pool_of
from posterity.runtime.compile import filter_jit
from posterity.trust.verdict import judge, pareto_k_limit
from posterity.trust.weights import pareto_smoothed

NAME = "trust_wrong"
SIZES = (2, 5, 20)
NUM_DRAWS = 1000
WORST_GAP, WORST_RATIO = 0.25, 1.25
CASES = ("exact", "wide", "narrow", "narrow along one", "margins alone", "mean field", "shifted along one", "shifted")


class Affine(AbstractTransport):
    """z = loc + root e."""

    loc: Array
    root: Array
    mask: Array

    def transform_and_log_det(self, noise):
        """Noise to latents."""
        return self.loc + self.root @ noise, jnp.linalg.slogdet(self.root)[1]

    def inverse_and_log_det(self, z):
        """Latents to noise."""
        return jnp.linalg.solve(self.root, z - self.loc), -jnp.linalg.slogdet(self.root)[1]


def target_and_q(case, size, rng):
    """Covariance of a posterior around 0, and location and covariance of q."""
    root = np.linalg.qr(rng.normal(size=(size, size)))[0]
    covariance = root @ np.diag(np.exp(rng.normal(size=size))) @ root.T
    loc = np.zeros(size)
    direction = root[:, 0]
    if case in ("margins alone", "mean field"):
        covariance = np.eye(size)
        covariance[0, 1] = covariance[1, 0] = -0.99
        sds = np.ones(size) if case == "margins alone" else np.diag(np.linalg.inv(covariance)) ** -0.5
        return covariance, loc, np.diag(sds**2)
    along = np.outer(direction, direction) * (direction @ covariance @ direction)
    found = {
        "exact": covariance, "wide": 4.0 * covariance, "narrow": 0.25 * covariance,
        "narrow along one": covariance - 0.75 * along,
    }.get(case, covariance)  # fmt: skip
    if case == "shifted along one":
        loc = 0.5 * np.sqrt(direction @ covariance @ direction) * direction
    if case == "shifted":
        loc = 0.5 * np.linalg.cholesky(covariance) @ rng.choice([-1.0, 1.0], size)
    return covariance, loc, found


@filter_jit
def _draw(q, precision, noise):
    z, log_q, log_wider = jax.tree.map(lambda leaf: leaf[noise.order], q.from_noise(noise))
    return Drawn(z, {}, log_q, log_wider, -0.5 * jnp.sum(z * (z @ precision), axis=1), {})


def run_dataset(case, size, seed):
    """Verdicts and errors: of the rule before, and of the rule now."""
    rng = np.random.default_rng([seed, size, CASES.index(case)])
    covariance, loc, covariance_q = target_and_q(case, size, rng)
    q = Affine(*(jnp.asarray(part) for part in (loc, np.linalg.cholesky(covariance_q), np.ones(size, bool))))
    q = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype != bool else leaf, q)
    precision = jnp.asarray(np.linalg.inv(covariance), jnp.float32)
    draw = partial(lambda noise: Drawn(*jax.tree.map(np.asarray, tuple(_draw(q, precision, noise)))))

    def noise_of(turn):
        return base_noise(np.random.default_rng([seed, size, CASES.index(case), 1, turn]), NUM_DRAWS, size)

    first = draw(noise_of(0))
    pool = pool_of(first, noise_of(0))
    plain = pareto_smoothed(first.log_joint[pool.is_of_q].astype(float) - first.log_q[pool.is_of_q])
    before = plain.pareto_k <= pareto_k_limit(NUM_DRAWS) and plain.ess >= NUM_DRAWS / 10
    wrong_before = is_wrong(first.z[pool.is_of_q], plain.log_weights, np.sqrt(np.diag(covariance)))
    source = Source(
        noise_of,
        lambda turn: np.random.default_rng([seed, size, CASES.index(case), 2, turn]),
        lambda noises: [draw(noise) for noise in noises],
        np.ones(size, bool),
    )
    pool, weights = more_rounds(first, pool, pareto_smoothed(pool.log_ratios), source, NUM_DRAWS)
    sds = np.sqrt(np.diag(covariance))
    return {
        "before": (before, wrong_before),
        "now": (judge(weights)[0] == "corrected", is_wrong(pool.z, weights.log_weights, sds)),
        "draws": len(pool.log_q), "ess": weights.ess, "k": weights.pareto_k,
    }  # fmt: skip


def is_wrong(z, log_weights, sds):
    """Whether weighted draws miss a mean of 0 or an sd."""
    weights = np.exp(log_weights)
    mean = weights @ z
    sd = np.sqrt(weights @ np.square(z - mean))
    return bool(np.any(np.abs(mean) > WORST_GAP * sds) or np.any(np.exp(np.abs(np.log(sd / sds))) > WORST_RATIO))


def run_case(case, size, number):
    """Shares over many datasets."""
    found = [run_dataset(case, size, seed) for seed in range(number)]
    row = {"case": case, "latents": size, "datasets": number, "draws": float(np.mean([own["draws"] for own in found]))}
    for rule in ("before", "now"):
        row[rule] = {
            "accepted": int(sum(own[rule][0] for own in found)),
            "accepted_and_wrong": int(sum(own[rule][0] and own[rule][1] for own in found)),
        }
    return row


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--try", action="store_true", dest="is_trial", help="print rows and keep none")
    options = parser.parse_args()
    done = set() if options.is_trial else {(row["case"], row["latents"]) for row in read(NAME)}
    for case in CASES:
        for size in SIZES:
            if options.only in case and (case, size) not in done:
                row = run_case(case, size, options.datasets)
                print(row, flush=True)
                if not options.is_trial:
                    append(NAME, row)


if __name__ == "__main__":
    main()
