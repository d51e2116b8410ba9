"""How near a training step comes to what the processor can multiply, and what takes the rest.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --encoder transformer --width 256 --repeats 9

Linear regression with 5 features and a full Gaussian: steps of 64 datasets with 64 to 128 rows, padded to 128, as
`train` does them. The ceiling is the fastest of a few float32 products, large square ones among them. Arithmetic:
multiplications and additions of the matrix products alone, three times the forward pass's. Ceiling, forward pass and
step are timed in turn, and a share is the median of what each turn gives: neighbours on the machine slow all three.
Ceilings and shares are pairs, by wall and by CPU seconds: wall is what a user waits for, and CPU seconds are what
neighbours touch less.

Parts: each product of the gradient is timed alone, with its own shapes; what a step takes beyond them all is the rest
(activations, softmax, reductions, copies, simulation, Adam). Rows go to `results/training_step.jsonl`.
"""

import argparse
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array
from rows import append

import posterity
from posterity.amortized.encoders import ENCODERS
from posterity.amortized.network import AmortizedPosterior, build_network
from posterity.runtime.compile import jit
from posterity.training.step import initial_state, make_chunk

BATCH, NUM_ROWS = 64, 128
LOOPS = 10
# Rows, columns and shared size of products: that of a feed-forward layer of width 256, and what suits a processor best.
CEILINGS = ((8192, 512, 256), (1024, 1024, 1024), (2048, 2048, 2048))


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    return time.perf_counter() - wall, time.process_time() - cpu


def products(jaxpr: Any, times: int = 1) -> Iterator[tuple[Any, int]]:
    """Every matrix product of a traced function, and how often it is done."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation, times
        inner = times * equation.params.get("length", 1)  # a scan
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            body = getattr(value, "jaxpr", value)
            if hasattr(body, "eqns"):
                yield from products(body, inner)


def flops(equation: Any) -> int:
    """Multiplications and additions of one product."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    shared = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return 2 * shared * math.prod(equation.outvars[0].aval.shape)


def kind(equation: Any) -> str:
    """Which of the network's products it is."""
    (contracted, _), (batch, _) = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    if batch:
        return "a product per dataset"  # attention, and gradients of small weights
    return "gradients by weights" if math.prod(shape[axis] for axis in contracted) >= BATCH * NUM_ROWS else "layers"


def looped(multiply: Callable[[Array, Array], Array], *shapes: tuple[int, ...]) -> Callable[[], object]:
    """A product `LOOPS` times in one program: as in a step, no memory is asked for anew."""
    left, right = (random.normal(random.key(i), shape) for i, shape in enumerate(shapes))

    def step(carry, _):  # the carry keeps the compiler from doing it once
        return jnp.ravel(multiply(left + 1e-30 * carry, right))[0], None

    loop = jit(lambda carry: lax.scan(step, carry, None, length=LOOPS)[0])
    return lambda: loop(jnp.zeros(()))


def product_seconds(equation: Any) -> float:
    """CPU seconds of one product alone."""
    dimensions = equation.params["dimension_numbers"]
    call = looped(lambda a, b: lax.dot_general(a, b, dimensions), *(each.aval.shape for each in equation.invars))
    jax.block_until_ready(call())  # compiles
    return float(np.median([seconds(call)[1] for _ in range(5)])) / LOOPS


def parts(gradient: Any) -> dict[str, dict[str, float]]:
    """Kind of product -> CPU milliseconds, arithmetic and memory of all of them in one gradient."""
    alike: Counter[str] = Counter()
    examples = {}
    for equation, times in products(gradient.jaxpr):
        name = f"{[each.aval.shape for each in equation.invars]} {equation.params['dimension_numbers']}"
        alike[name] += times
        examples[name] = equation
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"cpu_ms": 0.0, "gflop": 0.0, "megabytes": 0.0})
    for name, times in alike.items():
        equation, part = examples[name], found[kind(examples[name])]
        numbers = sum(math.prod(each.aval.shape) for each in (*equation.invars, *equation.outvars))
        part["cpu_ms"] += 1e3 * times * product_seconds(equation)
        part["gflop"] += 1e-9 * times * flops(equation)
        part["megabytes"] += 4e-6 * times * numbers
    return dict(found)


def measured(
    simulator: posterity.Simulator, network: AmortizedPosterior, num_steps: int, repeats: int
) -> dict[str, Any]:
    """One row: times, rates and shares of a training step, and its parts."""
    model = simulator.model
    masks = model.plate_masks(model.capacity)
    draw = jit(vmap(lambda key: simulator.simulate(key, jnp.ones(NUM_ROWS, bool), masks)))
    datasets, z = draw(random.split(random.key(0), BATCH))
    params, static = eqx.partition(network, eqx.is_inexact_array)

    def loss(params):
        net = eqx.combine(params, static)
        q_loss = lambda embedding, dataset, at: -net.posterior(embedding, dataset, model.space.mask(masks)).log_prob(at)  # noqa: E731
        return jnp.mean(vmap(q_loss)(net.embed(datasets), datasets, z))

    config = posterity.TrainingConfig(steps=10_000, batch_size=BATCH, chunk_steps=num_steps)
    chunk = make_chunk(simulator, network, posterity.ForwardKL(), posterity.Simulated(), config)
    state, key = initial_state(network, config), random.key(config.seed)
    forward = jit(loss)
    calls: dict[str, Callable[[], object]] = {
        **{f"ceiling {shape}": looped(jnp.matmul, (shape[0], shape[2]), (shape[2], shape[1])) for shape in CEILINGS},
        "forward": lambda: forward(params),
        "step": lambda: chunk(state, key, jnp.zeros(()), (64, NUM_ROWS), num_steps),
    }
    for call in calls.values():
        jax.block_until_ready(call())  # compiles
    turns = [{name: np.array(seconds(call)) for name, call in calls.items()} for _ in range(repeats)]
    step_gflop = 3e-9 * sum(times * flops(equation) for equation, times in products(jax.make_jaxpr(loss)(params).jaxpr))
    # By wall and by CPU seconds, and of the shapes the best of each.
    rates = [[2e-9 * LOOPS * math.prod(shape) / turn[f"ceiling {shape}"] for shape in CEILINGS] for turn in turns]
    ceiling = [np.max(np.stack(of_shapes), axis=0) for of_shapes in rates]
    reached = [step_gflop * num_steps / turn["step"] for turn in turns]
    median = lambda values: np.median(np.stack(values), axis=0)  # noqa: E731
    forward_ms = (1e3 * median([turn["forward"] for turn in turns])).tolist()
    step_ms = (1e3 / num_steps * median([turn["step"] for turn in turns])).tolist()
    of_parts = parts(jax.make_jaxpr(jax.grad(loss))(params))
    known = sum(part["cpu_ms"] for part in of_parts.values())
    return {
        "ceiling_gflops": median(ceiling).tolist(),
        "forward_ms": forward_ms[0],
        "forward_cpu_ms": forward_ms[1],
        "step_ms": step_ms[0],
        "step_cpu_ms": step_ms[1],
        "datasets_per_second": 1e3 * BATCH / step_ms[0],
        "step_gflop": step_gflop,
        "share_of_ceiling": median([a / b for a, b in zip(reached, ceiling, strict=True)]).tolist(),
        "parts": {**of_parts, "rest": {"cpu_ms": step_ms[1] - known, "gflop": 0.0}},
    }


def main() -> None:
    """One row per encoder and width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=ENCODERS)
    parser.add_argument("--width", type=int)
    parser.add_argument("--steps", type=int, default=4, help="steps per timed call")
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    entry = posterity.MODELS["linear_regression_known_noise"]
    simulator = posterity.builtin_simulator(entry, (16, 128), (5, 5), covariates="normal")
    for encoder in [chosen.encoder] if chosen.encoder else ENCODERS:
        for width in [chosen.width] if chosen.width else [64, 256]:
            architecture = posterity.Architecture(encoder, "full", encoder_options={"width": width})
            network = build_network(simulator, architecture, rng_key=random.key(0))
            row = {"encoder": encoder, "width": width, **measured(simulator, network, chosen.steps, chosen.repeats)}
            append("training_step", row)
            print(row, flush=True)


if __name__ == "__main__":
    main()
