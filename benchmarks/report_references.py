"""Sections of `docs/measured.md` on posteriors that others have published; see `report.py`."""

from collections.abc import Sequence

import numpy as np
from report_text import Row, provenance, table
from rows import read

__all__ = ["posteriordb_section", "sbibm_section"]

ALGORITHMS = ("NPE", "NLE", "NRE", "SNPE", "SNLE", "SNRE")


def posteriordb_section() -> str:
    """Posteriors of posteriordb against their reference draws."""
    rows = list({row["posterior"]: row for row in read("posteriordb")}.values())
    if not rows:
        return ""
    head = [
        "posterior",
        "likelihood",
        "latents",
        "verdict",
        "k-hat",
        "ESS",
        "mean gap",
        "sd ratio",
        "within",
        "s",
        "first s",
        "reasons",
    ]
    body = [
        [r["posterior"], r["likelihood"], str(r["latents"]), r["verdict"], f"{r['pareto_k']:.2f}", f"{r['ess']:.0f}",
         f"{r['mean_gap']:.3f}", f"{r['sd_ratio'][0]:.3f}..{r['sd_ratio'][1]:.3f}", "yes" if r["within"] else "no",
         f"{r['seconds']:.2f}", f"{r['first_seconds']:.0f}", " ".join(r["reasons"])]
        for r in rows
    ]  # fmt: skip
    within = sum(r["within"] for r in rows)
    wrong = [r["posterior"] for r in rows if not r["within"] and r["verdict"] != "untrusted"]
    told = f"{within} of {len(rows)} are within 0.1 sd of every mean and 10% of every sd; "
    told += f"trusted and outside: {', '.join(wrong)}." if wrong else "none that is trusted lies outside."
    kinds = {
        "posteriordb": "posteriordb's own draws",
        "third-party Stan run": "a third party's run of Stan",
        "computed here": "quadrature or importance sampling",
    }
    sources = [
        f"{kinds.get(kind, kind)}: {', '.join(r['posterior'] for r in rows if r['reference'] == kind)}"
        for kind in sorted({r["reference"] for r in rows})
    ]
    return "\n\n".join(
        [
            "## The informed posterior against published posteriors",
            "`python benchmarks/posteriordb.py`: programs of posteriordb written as NumPyro models, flat priors on "
            "unbounded parameters as normals of sd 1000; 10,000 draws, default refinement. Largest difference of means "
            "over all latents in sds of the reference, and range of the ratios of sds; k-hat is that of q's weights, "
            "ESS that of the draws in use. Seconds of a second call, and of the first with all compilation.",
            told,
            table(head, body),
            f"References: {'; '.join(sources)}.",
            provenance(rows),
        ]
    )


def sbibm_section() -> str:
    """C2ST of sbibm tasks, and the published figures beside it."""
    rows = list({(r["task"], r["way"], r["observation"]): r for r in read("sbibm")}.values())
    if not rows:
        return ""
    published = {(r["task"], r["algorithm"], r["simulations"]): r for r in read("sbibm_published")}
    epochs = " or ".join(str(n) for n in sorted({r["most_epochs"] for r in rows}))
    sizes = sorted({simulations for _, _, simulations in published})
    head = ["task", "way", "simulations", "observations", "verdicts", "C2ST", "largest", "ESS", "s"]
    body = []
    for task, way in dict.fromkeys((r["task"], r["way"]) for r in rows):
        chosen = [r for r in rows if (r["task"], r["way"]) == (task, way)]
        scores = np.array([r["c2st"] for r in chosen if r["c2st"] is not None])
        found = [f"{scores.mean():.3f} ± {scores.std():.3f}", f"{scores.max():.3f}"] if scores.size else ["", ""]
        body.append(
            [task, way, f"{chosen[-1]['simulations']:,}", str(len(chosen)), _verdicts(chosen), *found,
             f"{np.median([r['ess'] for r in chosen]):.3f}", f"{np.median([r['seconds'] for r in chosen]):.2f}"]
        )  # fmt: skip
    tasks = [task for task in dict.fromkeys(r["task"] for r in rows) if any(key[0] == task for key in published)]
    beside = [
        [task, f"{size:,}", *(_cell(published.get((task, algorithm, size))) for algorithm in ALGORITHMS)]
        for task in tasks
        for size in sizes
    ]
    told = sorted({f"{r['task']}, {r['way']}: {reason}" for r in rows for reason in r["reasons"][:1]})
    return "\n\n".join(
        [
            "## Simulation-based inference tasks, by their likelihoods",
            "`python benchmarks/sbibm.py`: C2ST against the reference posteriors in the published protocol, mean ± sd "
            "over observations (0.5 is best, the target 0.52), 10,000 of 100,000 draws resampled by weight; the "
            f"classifier stopped by its own rule or after {epochs} epochs; untrusted posteriors are not scored. "
            "Nothing is simulated or trained for the informed posterior; `trained` is a flow trained by forward KL, "
            "corrected by the likelihood. ESS as a share of the draws and seconds per observation, medians.",
            table(head, body),
            "Published (sbi-benchmark/results), which may use simulations only:",
            table(["task", "simulations", *ALGORITHMS], beside),
            *([f"First reasons, one for each kind: {' '.join(told)}"] if told and len(told) < 8 else []),
            provenance(rows),
        ]
    )


def _verdicts(rows: Sequence[Row]) -> str:
    found = [row["verdict"] for row in rows]
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in dict.fromkeys(found))


def _cell(row: Row | None) -> str:
    return "" if row is None else f"{row['mean']:.3f} ± {row['sd']:.3f}"
