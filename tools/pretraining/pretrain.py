r"""Trains the one network behind all informed posteriors.

    PYTHONPATH=tools python -m pretraining --steps 24000 --folder runs/informed -o informed.network

The loss of a dataset is $\log(1 + \mathrm{Var}_q[\log p(z, D) - \log q(z)])$, differentiated through the draws. The
variance of the log weights is twice KL(q || p) to leading order, and 0, with no noise in its gradient, where q is the
posterior; it is what spoils importance weights. The logarithm keeps a few hopeless datasets from ruling the gradient.
The variance may be taken over any draws: half of them are stretched along the direction of some row, since the tails
of q, which its own draws seldom reach, decide whether weights have a heavy tail.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.amortized.network import num_params
from posterity.informed_posterior.anchor.anchor import find_anchor
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.runtime.compile import jit
from posterity.runtime.keys import key_for
from posterity.runtime.provenance import made_here
from posterity.training import TrainingConfig
from posterity.training.checkpoint import RunFolder
from posterity.training.interrupt import interrupts
from posterity.training.step import TrainingState, advance, initial_state, make_optimizer
from pretraining.curriculum import LIKELIHOODS, PRIORS, SIZES, draw_terms

__all__ = ["pretrain", "weight_variance_loss"]

NUM_SAMPLES = 24
STRETCH = 1.8


def weight_variance_loss(
    network: RowNetwork, rng_key: PRNGKeyArray, num_obs: int, num_latents: int
) -> Float[Array, ""]:
    """Loss of one fresh dataset; see the head of this file."""
    key_terms, key_draws = random.split(rng_key)
    terms = lax.stop_gradient(draw_terms(key_terms, num_obs, num_latents)[0])
    anchor = lax.stop_gradient(find_anchor(terms))
    q = AnchoredPosterior.around(anchor, network(terms, anchor))
    z, log_q = vmap(lambda noise: _at_noise(q, noise))(_stretched_noise(key_draws, q))
    return jnp.log1p(jnp.var(vmap(terms.log_joint)(z) - log_q))


def _at_noise(q: AnchoredPosterior, noise: Float[Array, " latent"]) -> tuple[Array, Array]:
    z, log_det = q.transform_and_log_det(noise)
    return z, standard_normal_log_prob(noise, q.mask) - log_det


def _stretched_noise(rng_key: PRNGKeyArray, q: AnchoredPosterior) -> Float[Array, "sample latent"]:
    """Standard normal noise, every second draw stretched along the direction of a row, drawn by leverage."""
    key_noise, key_row = random.split(rng_key)
    rows = q.row_map
    noise = random.normal(key_noise, (NUM_SAMPLES, q.mask.size)) * q.mask
    chosen = random.categorical(key_row, jnp.log(rows.leverage + 1e-12), shape=(NUM_SAMPLES,))
    directions = lax.stop_gradient(rows.directions)[chosen]
    along = jnp.sum(noise * directions, axis=1, keepdims=True)
    stretched = noise + (STRETCH - 1.0) * along * directions
    return jnp.where((jnp.arange(NUM_SAMPLES) % 2 == 0)[:, None], noise, stretched)


def pretrain(config: TrainingConfig, folder: Path, *, resume: bool = False) -> tuple[RowNetwork, dict[str, Any]]:
    """The trained network and a record of its training.

    Ctrl-C ends the run after the chunk in progress, with a checkpoint and exit code 130.

    Args:
        config: Step budget and settings; its batch size does not count, see `curriculum.SIZES`.
        folder: Where checkpoints and metrics go.
        resume: Go on with the run in `folder`.
    """
    network = RowNetwork(key=key_for(config.seed, "network"))
    run_chunk = _make_chunk(network, config)
    state, seconds = initial_state(network, config), 0.0
    run = RunFolder(folder, {"training": config.to_json(), "sizes": SIZES, "stretch": STRETCH}, resume=resume)
    restored = run.restore(state) if resume else None
    if restored is not None:
        state, seconds = restored[0], restored[1]["seconds"]
    saved = time.perf_counter()
    with interrupts() as interrupt:
        while int(state.step) < _steps(config) and not interrupt.asked:
            size = SIZES[np.random.default_rng((config.seed, int(state.step))).integers(len(SIZES))]
            started = time.perf_counter()
            state, losses = run_chunk(state, size, config.steps_from(int(state.step)))
            mean, skipped = float(jnp.nanmean(losses)), int(jnp.sum(~jnp.isfinite(losses)))
            seconds += time.perf_counter() - started
            run.log({"step": int(state.step), "size": size, "loss": mean, "skipped": skipped, "seconds": seconds})
            if time.perf_counter() - saved > 60.0 * config.checkpoint_minutes:
                run.save(int(state.step), state, {"seconds": seconds})
                print(f"step {int(state.step)}, {seconds / 60:.1f} min, loss {mean:.4f} at {size}", flush=True)
                saved = time.perf_counter()
        run.save(int(state.step), state, {"seconds": seconds})
        run.close()
    if interrupt.asked:
        print(f"stopped at step {int(state.step)}; go on with --resume", file=sys.stderr)
        raise SystemExit(130)
    return eqx.combine(state.average, eqx.filter(network, eqx.is_inexact_array, inverse=True)), {
        "config": config.to_json(),
        "sizes": SIZES,
        "likelihoods": LIKELIHOODS,
        "priors": PRIORS,
        "num_params": num_params(network),
        "seconds": round(seconds),
        "command": " ".join(["python -m pretraining", *(Path(word).name for word in sys.argv[1:])]),
        **made_here(),
    }


Size = tuple[int, int, int]


def _make_chunk(
    network: RowNetwork, config: TrainingConfig
) -> Callable[[TrainingState, Size, int], tuple[TrainingState, Float[Array, " step"]]]:
    """The compiled function `(state, size, num_steps) -> (state, losses)`; draws depend on seed and step alone."""
    static = eqx.filter(network, eqx.is_inexact_array, inverse=True)
    optimizer = make_optimizer(config)

    @partial(jit, static_argnums=(1, 2))
    def run_chunk(state: TrainingState, size: Size, num_steps: int) -> tuple[TrainingState, Array]:
        num_obs, num_latents, batch_size = size

        def loss(params: Any, rng_key: PRNGKeyArray) -> Array:
            keys = random.split(rng_key, batch_size)
            network = eqx.combine(params, static)
            return jnp.mean(vmap(lambda key: weight_variance_loss(network, key, num_obs, num_latents))(keys))

        def one_step(state: TrainingState, _: None) -> tuple[TrainingState, Array]:
            rng_key = random.fold_in(key_for(config.seed, "training"), state.step)
            value, gradient = jax.value_and_grad(loss)(state.params, rng_key)
            progress = jnp.minimum(state.step / _steps(config), 1.0)
            return advance(state, gradient, progress, optimizer, config), value

        return lax.scan(one_step, state, None, length=num_steps)

    return run_chunk


def _steps(config: TrainingConfig) -> int:
    if config.steps is None:
        raise ValueError("pretrain: give a step budget, since the schedule follows it")
    return config.steps
