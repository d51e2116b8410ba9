"""What `posterior.fit` sees: AUC for datasets that are not the model's, and false alarms for those that are.

    python benchmarks/fit_study.py                    # every shift; skips those that have a row at this commit
    python benchmarks/fit_study.py --only outliers --datasets 40

Models are regressions with 3 columns, N(0, 1) priors and, where there is noise, HalfNormal(1) on its sd: `linear`,
known noise of 0.5 (`known`), `poisson` (priors N(0, 0.5)), `logistic`, `intercepts` (random intercepts of 8 groups).
Data come from each model's own joint, changed by one of the shifts below, in several strengths. Strength 0 is the
model's own data: what is flagged at 0.01 are false alarms. AUC compares p-values of changed and unchanged datasets
(ties count half): 0.5 sees nothing. The limit of detection is the smallest strength at which half of the datasets are
flagged at 0.01, by straight lines between the strengths that were tried. The AUC of the log evidence compares each
with those of unchanged datasets, as `posterity.evidence_fit` does. Rows go to `results/fit_study.jsonl`.
"""

import argparse
import dataclasses
import itertools
import time
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from rows import append, commit, read

import posterity
from posterity.results.fit import SUSPICIOUS, fit_of

NAME = "fit_study"
ROWS, COLUMNS, GROUPS = (64, 256), 3, 8


def linear(x, y=None):
    """Normal noise of unknown sd."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w, sigma), obs=y)


def known(x, y=None):
    """Normal noise of sd 0.5."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w, 0.5), obs=y)


def poisson(x, y=None):
    """Counts of mean 3 and up."""
    w = numpyro.sample("w", dist.Normal(0.0, 0.5).expand([x.shape[-1]]).to_event(1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Poisson(jnp.exp(1.0 + x @ w)), obs=y)


def logistic(x, y=None):
    """Two classes."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=x @ w), obs=y)


def intercepts(x, g, y=None):
    """Random intercepts."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    spread, sigma = numpyro.sample("spread", dist.HalfNormal(1.0)), numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("groups", GROUPS):
        a = numpyro.sample("a", dist.Normal(0.0, spread))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + a[g], sigma), obs=y)


MODELS = {model.__name__: model for model in (linear, known, poisson, logistic, intercepts)}


class Truth:
    """One draw of a model's joint, its parts apart, so that they can be changed."""

    def __init__(self, model: str, num_rows: int, rng: np.random.Generator):
        self.model, self.rng = model, rng
        self.x = rng.normal(size=(num_rows, COLUMNS))
        self.g = rng.integers(0, GROUPS, num_rows)
        self.eta = self.x @ rng.normal(0.0, 0.5 if model == "poisson" else 1.0, COLUMNS)
        self.eta += 1.0 if model == "poisson" else 0.0
        self.sd = 0.5 if model == "known" else abs(rng.normal())
        if model == "intercepts":
            self.eta += abs(rng.normal()) * rng.normal(size=GROUPS)[self.g]
        self.noise = rng.normal(size=num_rows)

    def data(self, y: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """As the model takes it."""
        groups = {"g": self.g} if self.model == "intercepts" else {}
        return {"x": self.x, **groups, "y": self.usual() if y is None else y}

    def usual(self, eta: np.ndarray | None = None) -> np.ndarray:
        """Responses of the model's own kind."""
        eta = self.eta if eta is None else eta
        if self.model == "poisson":
            return self.rng.poisson(np.exp(np.minimum(eta, 12.0)))
        if self.model == "logistic":
            return (self.rng.random(len(eta)) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
        return eta + self.sd * self.noise


@dataclasses.dataclass(frozen=True)
class Shift:
    """One way in which data are not the model's.

    Attributes:
        model: Whose data.
        what: In words, with what the strength counts.
        change: Truth and strength -> data.
        strengths: Ascending, without 0.
    """

    model: str
    what: str
    change: Callable[[Truth, float], dict[str, np.ndarray]]
    strengths: tuple[float, ...]


def _missing_column(truth, strength):
    return truth.data(truth.usual(truth.eta + strength * truth.rng.normal(size=len(truth.eta))))


def _bend(truth, strength):
    return truth.data(truth.usual(truth.eta + strength * truth.sd * (truth.x[:, 0] ** 2 - 1.0)))


def _gain(truth, strength):
    return truth.data((1.0 + strength) * truth.usual())


def _outliers(truth, strength):
    far = (
        strength * truth.sd * (truth.rng.random(len(truth.eta)) < 0.03) * truth.rng.choice([-1.0, 1.0], len(truth.eta))
    )
    return truth.data(truth.usual() + far)


def _tails(truth, strength):
    return truth.data(truth.eta + truth.sd * truth.rng.standard_t(1.0 / strength, len(truth.eta)))


def _fan(truth, strength):
    return truth.data(truth.eta + truth.sd * truth.noise * np.exp(strength * truth.x[:, 0]))


def _overdispersed(truth, strength):
    gamma = truth.rng.gamma(1.0 / strength, strength, len(truth.eta))
    return truth.data(truth.rng.poisson(gamma * np.exp(np.minimum(truth.eta, 12.0))))


def _zeros(truth, strength):
    return truth.data(truth.usual() * (truth.rng.random(len(truth.eta)) >= strength))


def _link(truth, strength):
    """Between the exponential and a straight line, by their mean and slope at 1."""
    straight = np.maximum(np.e * truth.eta, 0.02)
    return truth.data(truth.rng.poisson((1.0 - strength) * np.exp(np.minimum(truth.eta, 12.0)) + strength * straight))


def _waves(truth, strength):
    eta = (1.0 - strength) * truth.eta + strength * 4.0 * np.sin(2.0 * truth.eta)
    return truth.data(truth.usual(eta))


def _wrong_labels(truth, strength):
    y = truth.usual()
    return truth.data(np.where(truth.rng.random(len(y)) < strength, 1 - y, y))


def _wrong_groups(truth, strength):
    data, swapped = truth.data(), truth.rng.random(len(truth.g)) < strength
    return {**data, "g": np.where(swapped, truth.rng.integers(0, GROUPS, len(truth.g)), truth.g)}


def _groups_unseen(truth, strength):
    """Neighbouring rows share an effect that the model does not know."""
    block = np.arange(len(truth.eta)) * GROUPS // len(truth.eta)
    return truth.data(truth.usual(truth.eta + strength * truth.sd * truth.rng.normal(size=GROUPS)[block]))


SHIFTS = {
    "missing column, linear": Shift("linear", "sd of a term that no column carries", _missing_column, (0.5, 1.0, 2.0)),
    "missing column, known noise": Shift("known", "the same; noise is 0.5", _missing_column, (0.1, 0.2, 0.3, 0.5)),
    "missing column, Poisson": Shift("poisson", "the same, in logs", _missing_column, (0.1, 0.2, 0.3, 0.5)),
    "missing column, logistic": Shift("logistic", "the same, in logits", _missing_column, (0.5, 1.0, 2.0)),
    "bend": Shift("linear", "square of the first column, in sds of the noise", _bend, (0.1, 0.2, 0.4, 0.8)),
    "bend, logistic": Shift("logistic", "the same, in logits of |N(0, 1)|", _bend, (0.5, 1.0, 2.0)),
    "gain, linear": Shift("linear", "all responses times 1 + strength", _gain, (0.25, 0.5, 1.0)),
    "gain, known noise": Shift("known", "the same; noise is 0.5", _gain, (0.1, 0.2, 0.4, 0.8)),
    "outliers": Shift("linear", "sds that 3% of the rows are moved", _outliers, (2.0, 4.0, 6.0, 8.0)),
    "heavy tails": Shift("linear", "1 / degrees of freedom", _tails, (0.1, 0.2, 0.33, 0.5)),
    "fan": Shift("linear", "log sd per unit of the first column", _fan, (0.1, 0.2, 0.4)),
    "overdispersed": Shift("poisson", "1 / concentration", _overdispersed, (0.05, 0.1, 0.2, 0.4)),
    "zeros": Shift("poisson", "share of counts set to 0", _zeros, (0.02, 0.05, 0.1, 0.2)),
    "wrong link, Poisson": Shift("poisson", "share of a straight line in the mean", _link, (0.25, 0.5, 1.0)),
    "wrong link, logistic": Shift("logistic", "share of a wave in the logits", _waves, (0.25, 0.5, 1.0)),
    "wrong labels": Shift("logistic", "share of classes swapped", _wrong_labels, (0.05, 0.1, 0.2)),
    "wrong groups": Shift("intercepts", "share of rows with a random group", _wrong_groups, (0.1, 0.3, 0.6, 1.0)),
    "unseen groups": Shift(
        "linear", "sd of effects of 8 blocks of rows, in sds of noise", _groups_unseen, (0.2, 0.4, 0.8)
    ),
}


def p_values(shift, strength, num_rows, number, estimator):
    """P-values of fit of so many datasets, their log evidence (NaN without), and the seconds that one fit took."""
    datasets = []
    for i in range(number):
        truth = Truth(shift.model, num_rows, np.random.default_rng([i, num_rows]))
        datasets.append(truth.data() if strength == 0.0 else shift.change(truth, strength))
    posteriors = estimator.infer_each(datasets, refine_seconds=0.0)
    started = time.perf_counter()
    found = [fit_of(posterior, seed=i).p_value for i, posterior in enumerate(posteriors)]
    seconds = (time.perf_counter() - started) / number
    evidence = [p.log_evidence.value if p.verdict == "corrected" else np.nan for p in posteriors]
    return np.array(found), np.array(evidence), seconds


def auc(changed, unchanged):
    """Chance that a changed dataset has the smaller p-value; ties count half."""
    return float(np.mean(changed[:, None] < unchanged) + 0.5 * np.mean(changed[:, None] == unchanged))


def auc_of_evidence(changed, unchanged):
    """The same for the log evidence among that of the model's own data, two-sided; None with few of either."""
    changed, unchanged = changed[np.isfinite(changed)], unchanged[np.isfinite(unchanged)]
    if min(len(changed), len(unchanged)) < 10:
        return None
    shares = [np.mean(unchanged[:, None] < values, axis=0) for values in (changed, unchanged)]
    return auc(*(0.5 - np.abs(share - 0.5) for share in shares))


def limit(strengths, flagged):
    """Smallest strength at which half are flagged; None if none is."""
    known_at = [(0.0, 0.0), *zip(strengths, flagged, strict=True)]
    for (low, before), (high, after) in itertools.pairwise(known_at):
        if before < 0.5 <= after:
            return low + (high - low) * (0.5 - before) / (after - before)
    return None


def measure(name, number):
    """One row for each number of rows."""
    shift = SHIFTS[name]
    for num_rows in ROWS:
        example = Truth(shift.model, num_rows, np.random.default_rng(0)).data()
        estimator = posterity.informed(MODELS[shift.model], example, check=False)
        unchanged, own_evidence, seconds = p_values(shift, 0.0, num_rows, number, estimator)
        measured = [p_values(shift, strength, num_rows, number, estimator) for strength in shift.strengths]
        changed, evidence = [found[0] for found in measured], [found[1] for found in measured]
        flagged = [float(np.mean(p < SUSPICIOUS)) for p in changed]
        row = {
            "shift": name, "what": shift.what, "model": shift.model, "rows": num_rows, "datasets": number,
            "strengths": list(shift.strengths), "auc": [auc(p, unchanged) for p in changed], "flagged": flagged,
            "auc_evidence": [auc_of_evidence(found, own_evidence) for found in evidence],
            "limit": limit(shift.strengths, flagged), "false_alarms": float(np.mean(unchanged < SUSPICIOUS)),
            "false_alarms_5": float(np.mean(unchanged < 0.05)), "seconds_each": seconds,
        }  # fmt: skip
        append(NAME, row)
        print(name, num_rows, [f"{a:.2f}" for a in row["auc"]], flagged, row["limit"], row["false_alarms"], flush=True)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"one of: {', '.join(SHIFTS)}")
    parser.add_argument("--datasets", type=int, default=50)
    options = parser.parse_args()
    done = {row["shift"] for row in read(NAME) if row["commit"] == commit()}
    for name in [options.only] if options.only else [name for name in SHIFTS if name not in done]:
        measure(name, options.datasets)


if __name__ == "__main__":
    main()
