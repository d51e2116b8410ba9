"""Posterity beside its peers: quality, seconds to the first answer, throughput, latency, memory, disk, lines of code.

    python -m venv peers-env
    peers-env/bin/pip install -r benchmarks/peers/requirements.txt
    peers-env/bin/pip install --no-deps -e .
    cd benchmarks && ../peers-env/bin/python -m peers          # every peer and task, skipping those done at this commit
    cd benchmarks && ../peers-env/bin/python -m peers --only posterity,laplace --task T1

The tasks are in `peers/tasks.py`, what a user of each peer writes in `peers/user_code/`. Each peer and task has
processes of its own, with an empty cache of programs. Those that train are given so many epochs as fit the budget by a
pilot of three. The first answer is that to one dataset, training included; then come batches of 256 datasets and
single ones, 1000 draws each, warm, medians of five (of twenty for single ones). ESS is that of importance weights
against the exact joint, for NUTS that of its chain; the error of a mean is in sds of the reference, root mean square
over latents, on the first 50 datasets. References: T1 exact; T2 and T3 by 4 chains of 2500 after 1000, for T3 started
at the true latents and made symmetric. Disk is that of the package with all that it requires. Rows go to
`results/peers.jsonl`.
"""

import argparse
import ast
import collections
import importlib.metadata
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from first_answer import run
from metrics import linear_posterior, summary
from rows import append, commit, read

from peers.tasks import TASKS, Data, log_joint, simulate

NAME = "peers"
ROOTS = {
    "posterity": ("posterity",),
    "nuts": ("numpyro",),
    "laplace": ("jax",),
    "bayesflow": ("bayesflow", "jax"),
    "sbi": ("sbi",),
}
"""Peer -> the packages that its user installs."""
TRAINED = ("bayesflow", "sbi")


def moments(task: str, data: Data, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and sds of the reference posteriors, datasets first."""
    if task != "T1":
        draws = long_run(task, data, latents)
        return draws.mean(axis=1), draws.std(axis=1)
    designs = np.concatenate([data["x"], np.ones((*data["x"].shape[:2], 1))], axis=-1)
    found = [linear_posterior(design, y, 0.5) for design, y in zip(designs, data["y"], strict=True)]
    sds = [np.sqrt(np.diag(np.linalg.inv(precision))) for _, precision in found]
    return np.stack([mean for mean, _ in found]), np.stack(sds)


def long_run(task: str, data: Data, latents: np.ndarray) -> np.ndarray:
    """Draws of long NUTS, shape `(dataset, draw, latent)`; for T3 with the labels exchanged as well."""
    import jax
    import jax.numpy as jnp
    from numpyro.infer import MCMC, NUTS

    from peers.user_code.nuts import logistic, mixture

    model = logistic if task == "T2" else mixture
    starts = {"w": latents[:, :-1], "b": latents[:, -1]} if task == "T2" else {"mu": latents.reshape(-1, 2, 2)}

    def chains(key, data, start):
        mcmc = MCMC(
            NUTS(model), num_warmup=1000, num_samples=2500, num_chains=4, chain_method="vectorized", progress_bar=False
        )
        mcmc.run(key, **data, init_params=jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), start))
        return mcmc.get_samples()

    keys = jax.random.split(jax.random.key(1), len(latents))
    found = jax.jit(jax.vmap(chains))(keys, data, jax.tree.map(jnp.float32, starts))
    if task == "T2":
        return np.concatenate([found["w"], found["b"][..., None]], axis=-1)
    mu = np.asarray(found["mu"])
    return np.concatenate([mu, mu[..., ::-1, :]], axis=1).reshape(len(latents), -1, 4)


def quality(
    task: str, data: Data, exact: tuple[np.ndarray, np.ndarray], found: dict[str, np.ndarray]
) -> dict[str, Any]:
    """ESS and errors of means over datasets; one with a draw that is not finite has failed, and has an ESS of 0."""
    from numpyro.diagnostics import effective_sample_size

    mean, sd = exact
    good = np.all(np.isfinite(found["draws"]), axis=(1, 2))
    error = np.sqrt(np.mean(((found["draws"].mean(axis=1) - mean) / sd) ** 2, axis=-1))
    sizes = np.zeros(len(good))
    if "log_q" in found:
        kept = {name: values[good] for name, values in data.items()}
        ratios = log_joint(task, kept, found["proposed"][good].astype(np.float64)) - found["log_q"][good]
        weights = np.exp(ratios - ratios.max(axis=1, keepdims=True))
        sizes[good] = weights.sum(axis=1) ** 2 / np.sum(weights**2, axis=1)
    else:
        sizes[good] = [effective_sample_size(chain[None]).min() for chain in found["draws"][good]]
    num_draws = found["draws"].shape[1]
    return {"ess": summary(sizes / num_draws), "mean_error": summary(error[good]), "failed": int(np.sum(~good))}


def installed_bytes(roots: tuple[str, ...]) -> int:
    """Bytes on disk of some packages and of all that they require."""
    from packaging.requirements import Requirement

    waiting, sizes = [(root, frozenset[str]()) for root in roots], {}
    while waiting:
        name, extras = waiting.pop()
        key = name.lower().replace("_", "-"), extras
        if key in sizes:
            continue
        package = importlib.metadata.distribution(name)
        paths = {Path(str(file.locate())) for file in package.files or ()}
        sizes[key] = sum(path.stat().st_size for path in paths if path.is_file())
        for requirement in map(Requirement, package.requires or ()):
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras or {""}):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    of_packages = {name: size for (name, _), size in sizes.items()}
    if "posterity" in roots:  # installed as an editable package, its files lie in the checkout
        folder = Path(__file__).parents[2] / "src" / "posterity"
        of_packages["posterity"] = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return sum(of_packages.values())


def lines_of(peer: str) -> int:
    """Lines of what its user writes for the three tasks: no blank ones, no comments, no docstrings."""
    source = (Path(__file__).parent / "user_code" / f"{peer}.py").read_text()
    texts = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr) and _is_text(node.value)]
    told = {number for node in texts for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = enumerate(source.splitlines(), start=1)
    return sum(number not in told and line.strip() != "" and not line.strip().startswith("#") for number, line in lines)


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def work(request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Runs one stage in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "peers.worker", json.dumps({**request, "folder": folder})]
        _, started, _, _ = run(command, "posterity", Path(folder))
        found = json.loads((Path(folder) / "found.json").read_text())
        if "answered_at" in found:
            found["seconds"] = found.pop("answered_at") - started
        arrays = Path(folder) / "found.npz"
        return found, dict(np.load(arrays)) if arrays.exists() else {}


def measure(peer: str, task: str, options: argparse.Namespace, exact: tuple[np.ndarray, np.ndarray]) -> None:
    """All stages of one peer on one task, as one row."""
    request = {"peer": peer, "task": task, "epochs": 0, "num_draws": options.draws, "batch": options.batch}
    request |= {"judged": options.judged, "repeats": options.repeats}
    if peer in TRAINED:
        pilot, _ = work({**request, "stage": "pilot"})
        request["epochs"] = max(1, round(options.budget / pilot["epoch_seconds"]))
    again = 0 if peer in TRAINED else options.repeats - 1
    firsts = [work({**request, "stage": "first"})[0] for _ in range(again)]
    found, arrays = work({**request, "stage": "all"})
    data, _ = simulate(task, options.batch)
    judged = {name: values[: options.judged] for name, values in data.items()}
    row = {
        "peer": peer,
        "task": task,
        "budget_seconds": options.budget if peer in TRAINED else 0,
        "epochs": request["epochs"],
        "draws": options.draws,
        "batch": options.batch,
        "judged": options.judged,
        "first_seconds": [one["seconds"] for one in (*firsts, found)],
        "first_cpu_seconds": [one["cpu_seconds"] for one in (*firsts, found)],
        "first_batch_seconds": found["first_batch"][0],
        "batch_seconds": [wall for wall, _ in found["batch"]],
        "batch_cpu_seconds": [cpu for _, cpu in found["batch"]],
        "one_ms": statistics.median(wall for wall, _ in found["one"]) * 1e3,
        "peak_mib": found["peak_mib"],
        "installed_mib": installed_bytes(ROOTS[peer]) / 1024**2,
        "lines": lines_of(peer),
        "verdicts": dict(collections.Counter(found.get("verdicts", ()))),
        "versions": {root: importlib.metadata.version(root) for root in ROOTS[peer]},
        **quality(task, judged, exact, arrays),
    }
    append(NAME, row)
    print(row, flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"peers, separated by commas: {', '.join(ROOTS)}")
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--budget", type=float, default=180.0, help="seconds of training")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256, help="datasets in a batch")
    parser.add_argument("--judged", type=int, default=50, help="datasets on which quality is judged")
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    peers = options.only.split(",") if options.only else list(ROOTS)
    done = {(row["peer"], row["task"]) for row in read(NAME) if row["commit"] == commit()}
    for task in [options.task] if options.task else TASKS:
        wanted = [peer for peer in peers if options.only or (peer, task) not in done]
        if wanted:
            data, latents = simulate(task, options.batch)
            first = {name: values[: options.judged] for name, values in data.items()}
            exact = moments(task, first, latents[: options.judged])
            for peer in wanted:
                measure(peer, task, options, exact)


if __name__ == "__main__":
    main()
