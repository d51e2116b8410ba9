r"""Compute cost against tuned MCMC: after how many datasets has training a network paid off?

Who wants 1000 effective draws has three ways to them. NUTS for every dataset: four adapted chains, many datasets side
by side, compilation not counted. A network: training once, then draws with importance weights where these can be
trusted (`k_ok`), and NUTS for the rest. The informed posterior of the library, which trains nothing for a model and
refines its own answers where weights do not do. All on one core, so it is the ratios that hold elsewhere, too, not the
seconds.

The network has paid off after N datasets, where

$$T_{train} + N (t_{net} + (1 - k_{ok})\, t_{NUTS}) = N\, t_{NUTS},$$

and never if $k_{ok}\, t_{NUTS} \le t_{net}$. Effective draws of chains are the bulk ESS of the worst latent.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from study import amortized, informed
from study.chains import ChainDraws, run_chains
from study.datasets import TestSet, make_test_set
from study.jobs import Job
from study.measures import summary, weights
from study.presets import PRESETS, Preset
from study.settings import Setting
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
    test = make_test_set(setting.problem(), task, sizes.num_datasets)
    few = test.first(WHERE[job.setting])
    nuts, nuts_seconds = _nuts(few, sizes)
    rows = [nuts, _network(test, setting, preset, job.seed, nuts_seconds)]
    return rows if setting.informed is None else [*rows, _informed(few, setting, sizes)]


def _nuts(test: TestSet, sizes: Preset) -> tuple[Row, float]:
    found = run_chains(test, "nuts", num_draws=sizes.chain_draws, num_chains=NUM_CHAINS)
    each = (found.seconds - found.compile_seconds) / len(test.z)
    effective = _effective(found, test)
    seconds = each * WANTED / effective
    metrics = {"ess": summary(effective / found.draws.shape[1]), "converged": summary(found.converged)}
    row = {"method": "nuts", "seconds_per_dataset": each, "seconds_for_1000": float(np.mean(seconds))}
    return row | {"metrics": metrics}, float(np.mean(seconds))


def _network(test: TestSet, setting: Setting, preset: str, seed: int, nuts_seconds: float) -> Row:
    started = time.perf_counter()
    estimator = amortized.train(setting, preset, *NETWORK, seed)
    train_seconds = time.perf_counter() - started
    none = np.zeros((len(test.z), 0, test.z.shape[1]))
    found = amortized.draw(estimator, test, WANTED, none)
    metrics = weights(found.log_joint, found.log_q)
    each = 1e-3 * found.milliseconds / max(metrics["ess"]["mean"], 1e-9)
    after = pays_off_after(train_seconds, each, metrics["k_ok"]["mean"], nuts_seconds)
    row = {"method": "/".join(NETWORK), "steps": amortized.training_record(estimator)["steps"]}
    row |= {"train_seconds": round(train_seconds, 1), "seconds_per_dataset": 1e-3 * found.milliseconds}
    row |= {"seconds_for_1000": each, "pays_off_after": math.ceil(after) if math.isfinite(after) else "never"}
    return row | {"metrics": {name: metrics[name] for name in ("ess", "k_ok")}}


def _informed(test: TestSet, setting: Setting, sizes: Preset) -> Row:
    (task,) = setting.tasks
    found = informed.answer(test, setting, task, WANTED, sizes.refine_seconds)
    seconds = np.array([answer.seconds for answer in found.answers])
    effective = np.array([answer.weights.ess for answer in found.answers])
    trusted = np.array([answer.verdict != "untrusted" for answer in found.answers])
    row = {"method": "informed", "seconds_per_dataset": float(np.median(seconds))}
    row |= {"seconds_for_1000": float(np.median(seconds * WANTED / effective))}
    share = effective / np.array([answer.num_draws for answer in found.answers])
    return row | {"metrics": {"ess": summary(share), "trusted": summary(trusted)}}


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
