"""Sections on the informed posterior: its ESS by model and size, real tables, small tasks, speed and growth."""

from typing import Any

from report_text import FIGURES, Row, ess_text, provenance, table
from rows import read


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
            [model, f"{num_rows}, {features}", trained_for, f"{row['minutes']:g}", ess_text(row),
             f"{row['healthy']:.3f}", ess_text(beside["informed"]) if beside and "informed" in beside else ""]
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
        [r["case"], f"{r['rows']}, {r['features']}", str(r["latents"]), str(r["directions"]), ess_text(r["informed"]),
         ess_text(r["theory"]), f"{r['informed']['healthy']:.3f}", f"{r['informed']['corrected']:.3f}",
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
    speeds = list({(r["model"], r["rows"], r["features"]): r for r in rows if r["task"] == "speed"}.values())
    parts = ["## The informed posterior on small tasks, and its speed", "`python benchmarks/informed_tasks.py TASK`"]
    parts += _against_exact([last[task] for task in ("T1", "wide") if task in last])
    parts += _against_nuts([last[task] for task in ("T2",) if task in last])
    parts += _speed(speeds)
    return "\n\n".join([*parts, provenance([*last.values(), *speeds])])


def _against_exact(rows: list[Row]) -> list[str]:
    head = ["linear, known noise", "KL(p, q)", "KL(q, p)", "sym. KL / P", "expected L2 / exact", "ESS"]
    names = ("forward_kl", "reverse_kl", "symmetric_kl_per_parameter", "l2_ratio")
    body = [
        [f"{r['rows']} rows, {r['features']} features", *(f"{r[k]['mean']:.5f}" for k in names), ess_text(r)]
        for r in rows
    ]
    return [table(head, body)] if rows else []


def _against_nuts(rows: list[Row]) -> list[str]:
    head = ["logistic, 64 rows, 5 features", "C2ST raw", "C2ST corrected", "C2ST floor", "ESS"]
    scores = ("c2st", "c2st_corrected", "c2st_floor")
    body = [[f"{r['c2st_datasets']} datasets", *(f"{r[k]['mean']:.3f}" for k in scores), ess_text(r)] for r in rows]
    return [table(head, body)] if rows else []


def _speed(rows: list[Row]) -> list[str]:
    head = ["model", "rows, features", "of 256, each ms", "one alone ms", "ESS", "NUTS ms", "NUTS ESS", "ratio"]
    body = [
        [r["model"], f"{r['rows']}, {r['features']}", f"{r['of_256_ms']:.2f}", f"{r['one_ms']:.2f}", f"{r['ess']:.0f}",
         f"{r['nuts_ms']:.1f}", f"{r['nuts_ess']:.0f}",
         f"{(r['ess'] / r['of_256_ms']) / (r['nuts_ess'] / r['nuts_ms']):.0f}"]
        for r in rows
    ]  # fmt: skip
    words = (
        "1000 draws drawn, weighed and judged, 256 datasets over two threads. NUTS: one chain of 500 + 1000 steps, "
        "vmapped over 64 of the datasets (8 at 512 rows); its smallest ESS over latents. The ratio is of effective "
        "draws per second."
    )
    return [words, table(head, body)] if rows else []


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
