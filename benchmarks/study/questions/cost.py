r"""Compute cost against tuned MCMC: after how many datasets has training a network paid off?

Who wants 1000 effective draws has three ways to them. NUTS for every dataset: four adapted chains, many datasets side
by side, compilation not counted. A network: training once, then draws with importance weights where these can be
trusted (`trusted`), and NUTS for the rest. The informed posterior of the library, which trains nothing for a model and
refines its own answers where weights do not do. All on one core, so it is the ratios that hold elsewhere, too, not the
seconds.

The network has paid off after N datasets, where u is the share of datasets whose weights can be trusted,

$$T_{train} + N (t_{net} + (1 - u)\, t_{NUTS}) = N\, t_{NUTS},$$

and never if $u\, t_{NUTS} \le t_{net}$. Effective draws of chains are the bulk ESS of the worst latent.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

import posterity
from study.datasets import TestSet, make_test_set
from study.job import Job
from study.methods import amortized, informed
from study.methods.chains import ChainDraws, run_chains
from study.metrics.measures import summary
from study.presets import PRESETS, Preset
from study.tasks import SETTINGS

__all__ = ["do", "jobs", "pays_off_after"]

WHERE = {"lr_2d": 25, "lc_2d": 25, "nlr_1d": 4}
"""Setting -> datasets for NUTS and the informed posterior; a neural network's posterior takes NUTS minutes."""
NETWORK = ("deep_sets", "flow", "reverse")
WANTED, NUM_CHAINS = 1000, 4
Row = dict[str, Any]


def jobs(seed: int) -> Iterator[Job]:
    """Once for every task: seconds hardly depend on a seed."""
    if seed == 0:
        for setting in WHERE:
            yield Job("question", setting, "cost/all", seed)


def do(job: Job, preset: str) -> list[Row]:
    """NUTS, the network, and the informed posterior where there is one."""
    setting, sizes = SETTINGS[job.setting], PRESETS[preset]
    (task,) = setting.tasks
    test = make_test_set(setting.simulator(), task, WHERE[job.setting])
    datasets = [informed.as_arrays(test, i, task) for i in range(len(test.z))]
    nuts = _nuts(test, sizes)
    started = time.perf_counter()
    estimator = amortized.train(setting, preset, *NETWORK, job.seed)
    seconds = time.perf_counter() - started
    network = _amortized(estimator, datasets, refine_seconds=0.0)
    usable = network["metrics"]["trusted"]["mean"]
    after = pays_off_after(seconds, network["seconds_for_1000"], usable, nuts["seconds_for_1000"])
    trained = {"train_seconds": round(seconds, 1), "pays_off_after": math.ceil(after) if after < math.inf else "never"}
    rows = [{"method": "nuts"} | nuts, {"method": "/".join(NETWORK)} | trained | network]
    if setting.informed is not None:
        estimator = informed.estimator_of(setting, task)
        rows.append({"method": "informed"} | _amortized(estimator, datasets, refine_seconds=sizes.refine_seconds))
    return [row | {"num_datasets": len(datasets)} for row in rows]


def _nuts(test: TestSet, sizes: Preset) -> Row:
    found = run_chains(test, "nuts", num_draws=sizes.chain_draws, num_chains=NUM_CHAINS)
    each, effective = (found.seconds - found.compile_seconds) / len(test.z), _effective(found, test)
    share = {"ess": summary(effective / found.draws.shape[1]), "trusted": summary(found.converged)}
    wanted = float(np.mean(each * WANTED / effective))
    return {"seconds_per_dataset": each, "seconds_for_1000": wanted, "metrics": share}


def _amortized(estimator: posterity.Estimator, datasets: Sequence[Row], *, refine_seconds: float) -> Row:
    """Posteriors with weights, all datasets in one call; the second call, for the first compiles."""
    for _ in range(2):
        started = time.perf_counter()
        found = estimator.infer_each(datasets, num_draws=4 * WANTED, refine_seconds=refine_seconds)
        each = (time.perf_counter() - started) / len(datasets)
    trusted = np.array([posterior.verdict != "untrusted" for posterior in found], float)
    shares = np.array([posterior.ess / posterior.num_weighed for posterior in found])
    wanted = each * WANTED / (4 * WANTED * float(np.mean(shares)))
    metrics = {"ess": summary(shares), "trusted": summary(trusted)}
    return {"seconds_per_dataset": each, "seconds_for_1000": wanted, "metrics": metrics}


def pays_off_after(train: float, network: float, usable: float, nuts: float) -> float:
    """Number of datasets from which on training is the cheaper way, infinite for never.

    Args:
        train: Seconds of training.
        network: Seconds per dataset of the network.
        usable: Share of datasets whose weights can be trusted; the others are left to NUTS.
        nuts: Seconds per dataset of NUTS.
    """
    saved = usable * nuts - network
    return train / saved if saved > 0.0 else math.inf


def _effective(found: ChainDraws, test: TestSet) -> Float[np.ndarray, " dataset"]:
    """Bulk ESS of the worst latent of each dataset."""
    from arviz_stats.base.array import array_stats

    by_draw = found.draws[..., test.active].astype(float)
    by_draw = by_draw.reshape(len(by_draw), -1, NUM_CHAINS, by_draw.shape[-1])  # chains lie side by side
    return np.array([np.min(array_stats.ess(one, chain_axis=1, draw_axis=0)) for one in by_draw])
