"""Sections on in-context networks: what they learn in a given time, their speed and their memory."""

from report_text import Row, provenance, table
from rows import read


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


def second_answer_section() -> str:
    """First and later answers in one process."""
    rows = list({row["model"]: row for row in read("second_answer")}.values())
    if not rows:
        return ""
    body = [[row["model"], f"{row['first']:.2f}", f"{row['second']:.3f}", f"{row['later']:.3f}"] for row in rows]
    return "\n\n".join(
        [
            "## The second answer in one process",
            "`python benchmarks/second_answer.py`: seconds of `posterity.infer` and its summary for new data of the "
            "same shape, 50 rows of 3 predictors; median of six later ones. The first one compiles; the table asks "
            "last, of the built-in model, and finds its programs compiled.",
            table(["model", "first s", "second s", "later s"], body),
            provenance(rows),
        ]
    )
