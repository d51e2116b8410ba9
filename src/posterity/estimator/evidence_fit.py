"""Is the evidence of a dataset that of data which the model makes? Prior predictive datasets, answered likewise."""

from dataclasses import dataclass

import numpy as np

from posterity.estimator.estimator import Estimator
from posterity.inference.posterior import Posterior
from posterity.results.by_row import replicated_data
from posterity.results.prior import prior_draws
from posterity.runtime.defaults import NUM_DRAWS
from posterity.runtime.errors import InputError
from posterity.runtime.keys import key_for

__all__ = ["EvidenceFit", "evidence_fit"]


@dataclass(frozen=True)
class EvidenceFit:
    """Where the log evidence of a dataset stands among those of data that the model makes of its prior.

    Attributes:
        p_value: Two-sided; uniform for data of the model, since these took no part in any fit.
        log_evidence: Of the dataset, in nats.
        low: 5% quantile of those of the model's data.
        high: Their 95% quantile.
        num_datasets: Datasets of the model that were answered.
        num_simulated: All that were made; the others got no healthy weights, and have no evidence.
    """

    p_value: float
    log_evidence: float
    low: float
    high: float
    num_datasets: int
    num_simulated: int

    def __str__(self) -> str:
        return (
            f"Log evidence {self.log_evidence:.1f}, where 90% of {self.num_datasets} datasets of the model's own prior "
            f"lie from {self.low:.1f} to {self.high:.1f}: p = {self.p_value:.2g}."
        )


def evidence_fit(
    estimator: Estimator, posterior: Posterior, *, num_datasets: int = 200, num_draws: int = NUM_DRAWS, seed: int = 0
) -> EvidenceFit:
    """Simulates datasets of the same covariates from the prior, answers them, and compares their evidence.

    It sees data that the prior hardly makes, whatever the posterior makes of them: a gain, another scale of noise.
    The vaguer the prior, the less it sees.

    Args:
        estimator: That gave the posterior.
        posterior: Corrected, of a model whose priors are proper and whose rows are exchangeable.
        num_datasets: To simulate.
        num_draws: Draws of q for each.
        seed: Decides the datasets.

    Raises:
        InputError: The posterior has no evidence, or fewer than half of the datasets have.
    """
    own = posterior.log_evidence.value
    posterior.model.require_rows("evidence_fit")
    draws = prior_draws(posterior, num_datasets, key_for(seed, "prior of the evidence"))
    arrays = dict(posterior.data)
    made = replicated_data(posterior.model, draws, arrays, key_for(seed, "data of the evidence"))
    usable = np.all([np.isfinite(v.reshape(len(v), -1).astype(float)).all(axis=1) for v in made.values()], axis=0)
    datasets = [arrays | {name: values[i] for name, values in made.items()} for i in np.flatnonzero(usable)]
    answers = estimator.infer_each(datasets, num_draws=num_draws, seed=seed, refine_seconds=0.0)
    found = np.array([answer.log_evidence.value for answer in answers if answer.verdict == "corrected"])
    if len(found) < num_datasets / 2:
        raise InputError(
            f"evidence_fit: only {len(found)} of {num_datasets} datasets that '{posterior.model.name}' makes of its "
            "prior got healthy weights; the prior makes data too unlike yours. post.fit asks the posterior instead"
        )
    above, below = np.sum(found >= own) + 1, np.sum(found <= own) + 1
    p_value = min(1.0, 2.0 * float(min(above, below)) / (len(found) + 1))
    low, high = (float(q) for q in np.quantile(found, [0.05, 0.95]))
    return EvidenceFit(p_value, own, low, high, len(found), num_datasets)
