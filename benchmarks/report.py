"""Writes docs/measured.md from the result rows, so that no figure is typed by hand.

python benchmarks/report.py
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rows import read

PAGE = Path(__file__).parent.parent / "docs" / "measured.md"
FIGURES = PAGE.parent / "figures"
Row = dict[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def provenance(rows: Sequence[Row]) -> str:
    """Commits and machines of the rows."""
    commits = sorted({row["commit"] for row in rows})
    machines = sorted({row["machine"] for row in rows})
    return f"Commit {', '.join(commits)}; {'; '.join(machines)}."


def in_context_section() -> str:
    """Encoder x family x objective at equal time."""
    rows = read("in_context")
    parts = [
        "## In context: encoder x family x objective",
        "`python benchmarks/in_context.py --minutes M --all`: linear regression with 5 features and known noise, "
        "trained on 16 to 128 rows for M minutes, rated against the exact posterior on 200 datasets. KL in nats per "
        "parameter; ESS is the importance-sampling share of 1000 draws, median (5% quantile) over datasets. A run is "
        "one process on the cores named below, two runs side by side.",
    ]
    for minutes in sorted({row["minutes"] for row in rows}):
        chosen = [row for row in rows if row["minutes"] == minutes]
        body = [_in_context_line(row) for row in sorted(chosen, key=_symmetric_kl)]
        head = [
            "encoder",
            "family",
            "objective",
            "steps",
            "sym. KL / P, 64 rows",
            "ESS, 64 rows",
            "ESS, 16 rows",
            "ESS, 128 rows",
        ]
        parts += [f"### {minutes:g} minutes", table(head, body), provenance(chosen)]
    return "\n\n".join(parts) if rows else ""


def _symmetric_kl(row: Row) -> float:
    return row["rows_64"]["symmetric_kl_per_parameter"]["mean"]


def _in_context_line(row: Row) -> list[str]:
    ess = [f"{row[f'rows_{n}']['ess']['median']:.3f} ({row[f'rows_{n}']['ess']['q05']:.3f})" for n in (64, 16, 128)]
    kl = row["rows_64"]["symmetric_kl_per_parameter"]
    return [
        row["encoder"], row["family"], row["objective"], str(row["steps"]), f"{kl['mean']:.4f} ± {kl['se']:.4f}", *ess,
    ]  # fmt: skip


def tasks_section() -> str:
    """T1 to T3."""
    rows = read("tasks")
    if not rows:
        return ""
    head = [
        "task",
        "minutes",
        "network",
        "steps",
        "KL(p, q)",
        "KL(q, p)",
        "C2ST raw",
        "C2ST corrected",
        "C2ST floor",
        "ESS",
    ]
    body = []
    for row in rows:
        made = row["architecture"]
        kls = [
            f"{row[k]['mean']:.3f} / {row[k]['median']:.3f}" if k in row else "" for k in ("forward_kl", "reverse_kl")
        ]
        c2sts = [f"{row[k]['mean']:.3f}" if k in row else "" for k in ("c2st", "c2st_corrected", "c2st_floor")]
        body.append(
            [row["task"], f"{row['minutes']:g}", f"{made['encoder']}, {made['family']}", str(row["steps"]),
             *kls, *c2sts,
             f"{row['ess']['median']:.3f} ({row['ess']['q05']:.3f})"]
        )  # fmt: skip
    return "\n\n".join(
        [
            "## Three tasks at 64 rows",
            "`python benchmarks/tasks.py T1 --minutes 10` and so on; see its docstring for the tasks. KL in nats per "
            "dataset, mean / median over 200 datasets; C2ST over 20 datasets, 1000 draws against long NUTS (0.5 best; "
            "the floor compares NUTS with itself). Corrected draws are resampled from 1000 with replacement, and the "
            "classifier sees their duplicates, so that column is an upper bound.",
            table(head, body),
            provenance(rows),
        ]
    )


def speed_section() -> str:
    """Training and answering per encoder."""
    rows = list({row["encoder"]: row for row in read("speed")}.values())
    if not rows:
        return ""
    keys = [
        "datasets_per_second",
        "compile_seconds",
        "simulate_ms",
        "encode_ms",
        "forward_ms",
        "gradient_ms",
        "one_ms",
        "of_256_ms",
    ]
    head = [
        "encoder",
        "datasets/s",
        "compile s",
        "simulate ms",
        "encode ms",
        "forward ms",
        "gradient ms",
        "one posterior ms",
        "of 256, each ms",
    ]
    body = [[row["encoder"], *(f"{row[k]:.0f}" if row[k] >= 100 else f"{row[k]:.2f}" for k in keys)] for row in rows]
    return "\n\n".join(
        [
            "## Speed",
            "`python benchmarks/speed.py`: default options, full Gaussian, 5 features. Parts are per step of 64 "
            "datasets with 128 rows; a posterior is 1000 weighed draws for 64 rows. On a shared machine: read ratios.",
            table(head, body),
            provenance(rows),
        ]
    )


def memory_section() -> str:
    """Peak resident memory."""
    rows = list({row["case"]: row for row in read("memory")}.values())
    if not rows:
        return ""
    names = {
        "train": "training with the defaults",
        "infer": "training for a moment, then inference on 100,000 rows x 10",
    }
    body = [[names[row["case"]], f"{row['peak_mib']:.0f} MiB"] for row in rows]
    return "\n\n".join(["## Memory", "`python benchmarks/memory.py`", table(["case", "peak"], body), provenance(rows)])


def merged_informed() -> list[Row]:
    """One row for each model, size and prior; what a later run measured replaces what an earlier one did."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in read("informed"):
        key = (row["model"], row["rows"], row["features"], row["prior_sd"])
        found[key] = found.get(key, {}) | row
    return list(found.values())


def informed_section() -> str:
    """The informed posterior against Laplace, by model and size."""
    rows = [row for row in merged_informed() if "informed" in row]
    if not rows:
        return ""
    ways = ("informed", "theory", "anchor", "laplace")
    head = ["model", "rows, features", "prior sd", "datasets", *ways, "k-hat <= 0.7", "corrected", "ms"]
    body = []
    for row in sorted(rows, key=lambda r: (r["model"], r["features"], r["rows"])):
        cells = [f"{row[w]['ess']['median']:.3f} ({row[w]['ess']['q05']:.3f})" if w in row else "" for w in ways]
        found = row["informed"]
        prior = "default" if row["prior_sd"] is None else f"{row['prior_sd']:g}"
        healthy = [f"{found['healthy']:.3f}", f"{found['corrected']:.3f}", f"{found['milliseconds']:.2f}"]
        sizes = [f"{row['rows']}, {row['features']}", prior, str(row["datasets"])]
        body.append([row["model"], *sizes, *cells, *healthy])
    return "\n\n".join(
        [
            "## The informed posterior: importance ESS by model and size",
            "`python benchmarks/informed.py`: fresh datasets from each model's own joint, N(0, 1) covariates, nothing "
            "trained for any of them. ESS fraction of 1000 draws, median (5% quantile) over datasets: the informed "
            "posterior as it ships; its map by theory alone, without the network; its anchor alone, the best Gaussian"
            " in KL(q, p); Laplace. Then, for the informed posterior, the share of datasets with k-hat <= 0.7, the "
            "share with verdict `corrected`, and milliseconds per dataset on one core, weighing included. Columns of "
            "anchor and Laplace may come from an earlier run on 60 to 200 datasets: they do not depend on what is "
            "learned. Probit, "
            "complementary log-log and gamma regression were held out of the network's training.",
            table(head, body),
            provenance(list(rows)),
        ]
    )


def informed_in_context_section() -> str:
    """In-context networks of equal training time beside the informed posterior."""
    rows = {(r["model"], r["rows"], r["features"], r["specialist"]): r for r in read("informed_in_context")}
    informed = {(r["model"], r["rows"], r["features"]): r for r in merged_informed() if r["prior_sd"] is None}
    if not rows:
        return ""
    head = ["model", "rows, features", "trained for", "minutes", "ESS in context", "k-hat <= 0.7", "ESS informed"]
    body = []
    for (model, num_rows, features, specialist), row in sorted(rows.items()):
        beside = informed.get((model, num_rows, features))
        trained_for = "this size" if specialist else "all sizes"
        body.append(
            [model, f"{num_rows}, {features}", trained_for, f"{row['minutes']:g}", _ess(row),
             f"{row['healthy']:.3f}", _ess(beside["informed"]) if beside and "informed" in beside else ""]
        )  # fmt: skip
    return "\n\n".join(
        [
            "## In-context networks on the same datasets",
            "`python benchmarks/informed_in_context.py --model MODEL [--size ROWS,FEATURES]`: deep sets, full "
            "Gaussian, reverse KL, trained for the minutes below on a core to itself (the row network that ships has "
            "its own time in `posterity models`, once for all likelihoods), for 8 to 512 rows and 1 to 60 "
            "features or for one size alone; the datasets of the table above.",
            table(head, body),
            provenance(list(rows.values())),
        ]
    )


def _ess(row: Row) -> str:
    return f"{row['ess']['median']:.3f} ({row['ess']['q05']:.3f})"


def informed_any_section() -> str:
    """Models without one predictor per row."""
    rows = list({row["case"]: row for row in read("informed_any")}.values())
    if not rows:
        return ""
    head = [
        "case",
        "rows, features",
        "latents",
        "lines per row",
        "ESS",
        "ESS by theory",
        "k-hat <= 0.7",
        "corrected",
        "ms",
    ]
    body = [
        [r["case"], f"{r['rows']}, {r['features']}", str(r["latents"]), str(r["directions"]), _ess(r["informed"]),
         _ess(r["theory"]), f"{r['informed']['healthy']:.3f}", f"{r['informed']['corrected']:.3f}",
         f"{r['informed']['milliseconds']:.1f}"]
        for r in rows
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## The informed posterior of any model",
            "`python benchmarks/informed_any.py`: models without one predictor per row, and two regressions that are "
            "made to do without it. Columns as above.",
            table(head, body),
            provenance(rows),
        ]
    )


def growth_section() -> str:
    """How the cost per effective draw grows, and NUTS beside it."""
    rows = list({(r["rows"], r["features"]): r for r in read("informed_tasks") if r["task"] == "growth"}.values())
    if not rows:
        return ""
    _growth_figure(rows)
    head = ["rows, features", "ms", "ESS", "NUTS ms", "NUTS ESS", "ratio of effective draws per second"]
    body = [
        [f"{r['rows']}, {r['features']}", f"{r['batch_ms']:.2f}", f"{r['ess']:.0f}", f"{r['nuts_ms']:.0f}",
         f"{r['nuts_ess']:.0f}", f"{(r['ess'] / r['batch_ms']) / (r['nuts_ess'] / r['nuts_ms']):.1f}"]
        for r in rows
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## How the cost grows with rows and columns",
            "`python benchmarks/informed_tasks.py growth`: logistic regression, milliseconds per dataset in a batch of "
            "8 on one thread, 1000 weighed draws; NUTS (500 + 1000 steps) vmapped over the same 8.",
            "![Milliseconds per 1000 effective draws against rows and against features](figures/growth.svg)",
            table(head, body),
            provenance(rows),
        ]
    )


def _growth_figure(rows: list[Row]) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "posterity"  # the same file for the same rows
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    by_rows = sorted((r for r in rows if r["features"] == 5), key=lambda r: r["rows"])
    by_features = sorted((r for r in rows if r["rows"] == 256), key=lambda r: r["features"])
    panels = zip(figure.subplots(1, 2), (by_rows, by_features), ("rows", "features"), strict=True)
    for axes, chosen, key in panels:
        for ms, ess, label in (("batch_ms", "ess", "informed"), ("nuts_ms", "nuts_ess", "NUTS")):
            axes.plot([r[key] for r in chosen], [1000 * r[ms] / r[ess] for r in chosen], "o-", label=label)
        axes.set(xscale="log", yscale="log", xlabel=key, title="5 features" if key == "rows" else "256 rows")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("ms per 1000 effective draws")
    figure.axes[0].legend()
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / "growth.svg", metadata={"Date": None})


def real_tables_section() -> str:
    """The informed posterior against long NUTS on real tables."""
    rows = list({row["table"]: row for row in read("real_tables")}.values())
    if not rows:
        return ""
    head = [
        "table",
        "model",
        "rows x columns",
        "verdict",
        "ESS",
        "k-hat",
        "mean gap",
        "sd ratio",
        "NUTS R-hat",
        "NUTS s",
    ]
    body = [
        [r["table"], r["model"].removesuffix("_regression"), f"{r['rows']} x {r['features']}", r["verdict"],
         f"{r['ess']:.3f}", f"{r['pareto_k']:.2f}", f"{r['mean_gap']:.3f}",
         f"{r['sd_ratio'][0]:.3f}..{r['sd_ratio'][1]:.3f}", f"{r['nuts_r_hat']:.3f}", f"{r['nuts_seconds']:.0f}"]
        for r in sorted(rows, key=lambda r: (r["model"], r["table"]))
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## The informed posterior against long NUTS on real tables",
            "`python benchmarks/real_tables.py`: 10,000 weighted draws against 4 x 2500 draws of NUTS, largest "
            "difference of means over all latents in sds of NUTS, and range of the ratios of sds.",
            table(head, body),
            provenance(rows),
        ]
    )


def informed_tasks_section() -> str:
    """T1, T2, 100 features, and speed."""
    rows = read("informed_tasks")
    if not rows:
        return ""
    last = {row["task"]: row for row in rows if row["task"] not in ("speed", "growth")}
    parts = ["## The informed posterior on small tasks, and its speed", "`python benchmarks/informed_tasks.py TASK`"]
    exact = [last[task] for task in ("T1", "wide") if task in last]
    names = ("forward_kl", "reverse_kl", "symmetric_kl_per_parameter", "l2_ratio")
    if exact:
        head = ["linear, known noise", "KL(p, q)", "KL(q, p)", "sym. KL / P", "expected L2 / exact", "ESS"]
        parts.append(
            table(
                head,
                [
                    [f"{r['rows']} rows, {r['features']} features", *(f"{r[k]['mean']:.5f}" for k in names),
                     f"{r['ess']['median']:.3f} ({r['ess']['q05']:.3f})"]
                    for r in exact
                ],
            )
        )  # fmt: skip
    if "T2" in last:
        row = last["T2"]
        scores = [f"{row[k]['mean']:.3f}" for k in ("c2st", "c2st_corrected", "c2st_floor")]
        ess = f"{row['ess']['median']:.3f} ({row['ess']['q05']:.3f})"
        head = ["logistic, 64 rows, 5 features", "C2ST raw", "C2ST corrected", "C2ST floor", "ESS"]
        parts.append(table(head, [[f"{row['c2st_datasets']} datasets", *scores, ess]]))
    speeds = {(r["model"], r["rows"], r["features"]): r for r in rows if r["task"] == "speed"}.values()
    if speeds:
        head = ["model", "rows, features", "of 256, each ms", "one alone ms", "ESS", "NUTS ms", "NUTS ESS", "ratio"]
        body = []
        for r in speeds:
            nuts = ["", "", ""]
            if "nuts_ms" in r:
                ratio = (r["ess"] / r["of_256_ms"]) / (r["nuts_ess"] / r["nuts_ms"])
                nuts = [f"{r['nuts_ms']:.1f}", f"{r['nuts_ess']:.0f}", f"{ratio:.0f}"]
            body.append(
                [r["model"], f"{r['rows']}, {r['features']}", f"{r['of_256_ms']:.2f}", f"{r['one_ms']:.2f}",
                 f"{r['ess']:.0f}", *nuts]
            )  # fmt: skip
        parts += [
            "1000 draws drawn and weighed, 256 datasets over two threads. NUTS: one chain of 500 + 1000 steps, vmapped "
            "over 64 of the datasets; its smallest ESS over latents. The ratio is of effective draws per second.",
            table(head, body),
        ]
    return "\n\n".join([*parts, provenance(rows)])


def main() -> None:
    """Writes the page."""
    sections = [
        informed_section(),
        informed_in_context_section(),
        informed_any_section(),
        real_tables_section(),
        informed_tasks_section(),
        growth_section(),
        in_context_section(),
        tasks_section(),
        speed_section(),
        memory_section(),
    ]
    intro = "# Measured\n\nMade by `python benchmarks/report.py` from `benchmarks/results/`; nothing here is typed."
    PAGE.write_text("\n\n".join([intro, *filter(None, sections)]) + "\n")


if __name__ == "__main__":
    main()
