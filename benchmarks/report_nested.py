"""The page on models of several scales and on multilevel tables; see `report.py`."""

import math
from collections.abc import Iterable
from typing import Any

import multilevel_tables
import nested
import nested_accepts
from multilevel_models import TABLES
from nested_cases import CASES, Case
from report_text import PAGE, Row, ess_text, provenance, table
from rows import read

__all__ = ["NESTED_PAGE", "nested_page"]

NESTED_PAGE = PAGE.with_name("nested.md")
NOT_MEASURED = "not measured"
PUBLISHED = ("radon_mn-", "eight_schools-")
"""How the posteriors of posteriordb begin whose models are multilevel."""


def nested_page() -> str:
    """The whole page."""
    intro = (
        "# Multilevel and nested models\n\nMade by `python benchmarks/report.py` from `benchmarks/results/`; nothing "
        "here is typed. Seconds and milliseconds are wall time, with CPU time in brackets."
    )
    sections = (
        simulated_section,
        nuts_section,
        tables_section,
        many_groups_section,
        threshold_section,
        published_section,
        accepts_section,
    )
    return "\n\n".join([intro, *(section() for section in sections)]) + "\n"


def simulated_section() -> str:
    """Importance ESS and seconds on datasets from the prior, beside what is to be reached."""
    rows = newest("nested")
    head = ["model", "datasets", "ESS", "to reach", "k-hat < 0.7", "verdicts", "ms each", "to reach", "first s",
            "falls short"]  # fmt: skip
    body = [
        [case.title, *(_simulated(case, rows[name]) if name in rows else missing(head))] for name, case in CASES.items()
    ]
    return section(
        "## On datasets from their own priors",
        f"`python benchmarks/nested.py`: nothing trained, no sampling on, {nested.NUM_DRAWS} draws asked for. ESS of "
        "the plain importance weights as a share of the draws that are weighed (q's, a ninth as many wider ones, and "
        "further rounds where chance would decide), median (5% quantile) over datasets; milliseconds of a dataset in a "
        "warm batch of all of them; seconds of the first answer in a process that kept no programs, import not "
        "counted.",
        head,
        body,
        rows.values(),
    )


def _simulated(case: Case, row: Row) -> list[str]:
    target = f"{case.ess[0]:.3f} ({case.ess[1]:.2f})" if case.ess[1] else f"{case.ess[0]:.3f}"
    milliseconds = "" if math.isnan(case.milliseconds) else f"{case.milliseconds:.0f}"
    short = ", ".join(nested.shortfalls(case, row)) or "no"
    if "failed" in row:
        return [str(row["datasets"]), "", target, "", "", "", milliseconds, "", f"{short}: {row['failed']}"]
    return [
        str(row["datasets"]),
        ess_text(row),
        target,
        f"{row['healthy']:.2f}",
        counts(row["verdicts"]),
        f"{row['milliseconds']:.1f} ({row['cpu_milliseconds']:.1f})",
        milliseconds,
        f"{row['first_seconds']:.1f} ({row['first_cpu_seconds']:.1f})",
        short,
    ]


def nuts_section() -> str:
    """Effective draws per second of NUTS on the same datasets, and ours."""
    ours, rows = newest("nested"), newest("nested_nuts")
    head = ["model", "NUTS first s", "NUTS warm s", "NUTS ESS", "passes", "NUTS draws/s", "Posterity draws/s", "ratio"]
    body = [
        [CASES[name].title, *(_nuts(rows[name], ours.get(name)) if name in rows else missing(head))]
        for name in nested.NUTS_CASES
    ]
    warmup, kept = nested.NUTS_STEPS
    return section(
        "## Beside NUTS",
        f"`python benchmarks/nested.py --nuts`: 4 chains of {warmup} + {kept} steps on the first dataset, vectorised, "
        "group effects in units of their sds; the first time with all compilation, and again. Its ESS is the smallest "
        "bulk ESS over latents, and it passes with rank R-hat <= 1.01, bulk and tail ESS >= 400 and no divergences. "
        "Effective draws per CPU second, warm: of NUTS, and of Posterity by the medians of the table above.",
        head,
        body,
        rows.values(),
    )


def _nuts(row: Row, ours: Row | None) -> list[str]:
    warm = row["warm"]
    rate = warm["bulk_ess"] / warm["cpu_seconds"]
    cells = [
        *(f"{row[way]['seconds']:.1f} ({row[way]['cpu_seconds']:.1f})" for way in ("first", "warm")),
        str(warm["bulk_ess"]),
        "yes" if warm["passes"] else f"no: R-hat {warm['r_hat']:.3f}, {warm['divergent']} divergent",
        f"{rate:,.0f}",
    ]
    if ours is None or "failed" in ours:
        return [*cells, "", ""]
    own = ours["ess"]["median"] * ours["draws"] / (1e-3 * ours["cpu_milliseconds"])
    return [*cells, f"{own:,.0f}", f"{own / rate:,.0f}"]


def tables_section() -> str:
    """Ten classic tables against NUTS that converged."""
    rows = {(row["table"], row["way"]): row for row in read("multilevel_tables")}
    references = {(row["table"], row["way"]): row for row in read("multilevel_nuts")}
    head = ["table", "model", "way", "rows", "latents", "verdict", "k-hat", "ESS", "mean gap", "sd ratio", "within",
            "s", "first s", "NUTS ESS", "NUTS s"]  # fmt: skip
    body = [
        [
            name,
            f"{TABLES[name].formula}, {TABLES[name].family}".replace("|", r"\|"),
            way,
            *(_table(rows[name, way]) if (name, way) in rows else [NOT_MEASURED, *[""] * (len(head) - 6)]),
            *(_reference(references.get((name, way)))),
        ]
        for name in TABLES
        for way in ("model", "formula")
    ]
    return section(
        "## Classic multilevel tables, against NUTS that converged",
        "`python benchmarks/multilevel_tables.py`: models, scaling and priors in `multilevel_models.py`, group effects "
        "centred; a formula has its own defaults. Largest difference of means over all latents in sds of NUTS on the "
        f"same program, and range of the ratios of sds; within: {multilevel_tables.MEAN_TARGET:g} sd and "
        f"{multilevel_tables.SD_TARGET:.0%}; "
        f"to reach: {multilevel_tables.SECONDS_TARGET:g} s warm. References: 4 chains, rank R-hat <= 1.01, bulk and "
        "tail ESS >= 400 and no divergences unless said otherwise; smallest bulk ESS over latents.",
        head,
        body,
        [*rows.values(), *references.values()],
    )


def _table(row: Row) -> list[str]:
    gap = ["", "", ""]
    if "mean_gap" in row:
        low, high = row["sd_ratio"]
        gap = [f"{row['mean_gap']:.3f}", f"{low:.3f}..{high:.3f}", "yes" if row["within"] else "no"]
    return [str(row["rows"]), str(row["latents"]), row["verdict"], f"{row['pareto_k']:.2f}", f"{row['ess']:.3f}",
            *gap, f"{row['seconds']:.2f}", f"{row['first_seconds']:.1f}"]  # fmt: skip


def _reference(row: Row | None) -> list[str]:
    if row is None:
        return ["none", ""]
    ess = str(row["bulk_ess"]) if row["passes"] else f"{row['bulk_ess']}, R-hat {row['r_hat']:.3f}: does not pass"
    return [ess, f"{row['seconds']:.0f}"]


def many_groups_section() -> str:
    """Normal rows in very many groups."""
    rows = newest("many_groups", "groups")
    head = ["groups", "rows", "verdict", "ESS", "mean gap", "largest", "sd ratio", "s", "first s", "GiB at most"]
    body = [
        [f"{row['groups']:,}", f"{row['rows']:,}", row["verdict"], f"{row['ess']:.0f}", f"{row['mean_gap']:.3f}",
         f"{row['largest_mean_gap']:.3f}", "..".join(f"{ratio:.3f}" for ratio in row["sd_ratio"][1:]),
         *("{:.1f} ({:.1f})".format(*row[name]) for name in ("seconds", "first_seconds")), f"{row['peak_gib']:.2f}"]
        for row in rows.values()
    ]  # fmt: skip
    return section(
        "## Very many groups",
        "`python benchmarks/many_groups.py`: normal rows, an intercept and a slope for each group, four rows a group "
        "on average. Gaps of means in sds, of all effects (root mean square) and the largest, and the range of "
        "the ratios of sds, all against exact ones given the scales at their means: so many draws are off by about "
        "0.05 sds by themselves, the largest of 250,000 by a fifth of an sd. The answer is the second of its process.",
        head,
        body or [missing(head)],
        rows.values(),
    )


def threshold_section() -> str:
    """From which size on groups are eliminated first."""
    rows = {(row["family"], row["groups"], row["road"]): row for row in read("arrow_threshold")}
    head = ["rows", "groups", "dense ms", "arrow ms", "ratio"]
    body = []
    for family, groups in dict.fromkeys(key[:2] for key in rows):
        if (family, groups, "dense") in rows and (family, groups, "arrow") in rows:
            spent = [rows[family, groups, road]["cpu_milliseconds"] for road in ("dense", "arrow")]
            body.append([family, str(groups), *(f"{number:,}" for number in spent), f"{spent[0] / spent[1]:.2f}"])
    return section(
        "## Dense or an arrow",
        "`python benchmarks/arrow_threshold.py`: random intercepts of groups of ten rows; CPU milliseconds of one warm "
        "answer, a dataset at a time, with all latents in one dense matrix and with groups eliminated first.",
        head,
        body or [missing(head)],
        rows.values(),
    )


def published_section() -> str:
    """Multilevel posteriors of posteriordb; the others are in `docs/measured.md`."""
    rows = {name: row for name, row in newest("posteriordb", "posterior").items() if name.startswith(PUBLISHED)}
    head = ["posterior", "verdict", "k-hat", "ESS", "mean gap", "sd ratio", "within", "s", "first s"]
    body = [
        [name, row["verdict"], f"{row['pareto_k']:.2f}", f"{row['ess']:.0f}", f"{row['mean_gap']:.3f}",
         f"{row['sd_ratio'][0]:.3f}..{row['sd_ratio'][1]:.3f}", "yes" if row["within"] else "no",
         f"{row['seconds']:.2f}", f"{row['first_seconds']:.1f}"]
        for name, row in rows.items()
    ]  # fmt: skip
    return section(
        "## Multilevel posteriors of posteriordb",
        "`python benchmarks/posteriordb.py`; all of them are in [Measured](measured.md), with what is compared.",
        head,
        body,
        rows.values(),
    )


def accepts_section() -> str:
    """Accepted answers that NUTS contradicts."""
    rows = list({(row["case"], row["dataset"], row["draws"]): row for row in read("nested_accepts")}.values())
    head = ["model", "datasets", "corrected", "k-hat too large, tail light", "NUTS converged", "false",
            "largest mean gap", "sd ratios"]  # fmt: skip
    body = []
    for name, case in CASES.items():
        if found := [row for row in rows if row["case"] == name]:
            judged = [row for row in found if "nuts" in row and row["nuts"]["passes"]]
            body.append([case.title, str(len(found)), str(sum(row["verdict"] == "corrected" for row in found)),
                         str(sum(row.get("by_light_tail", False) for row in found)), *_judged(judged)])  # fmt: skip
        else:
            body.append([case.title, *missing(head)])
    judged = [row for row in rows if "nuts" in row and row["nuts"]["passes"]]
    false = sum(row["is_false"] for row in judged)
    told = f"Of {len(judged)} accepted answers that NUTS could judge, {false} are false." if judged else ""
    return section(
        "## Wrong answers that were accepted",
        "`python benchmarks/nested_accepts.py`: simulated datasets, without sampling on; corrected answers against "
        "NUTS that converged (rank R-hat <= 1.01, bulk and tail ESS >= 400, no divergences). False: a mean off by more "
        f"than {nested_accepts.MEAN_LIMIT:g} sd or an sd by more than {nested_accepts.SD_LIMIT:.0%}. {told}".rstrip(),
        head,
        body,
        rows,
    )


def _judged(rows: list[Row]) -> list[str]:
    if not rows:
        return ["0", "", "", ""]
    low, high = min(row["sd_ratio"][0] for row in rows), max(row["sd_ratio"][1] for row in rows)
    false = sum(row["is_false"] for row in rows)
    return [str(len(rows)), str(false), f"{max(row['mean_gap'] for row in rows):.3f}", f"{low:.3f}..{high:.3f}"]


def newest(name: str, key: str = "case") -> dict[Any, Row]:
    """The last row of each case, in the order of their first."""
    return {row[key]: row for row in read(name)}


def missing(head: list[str]) -> list[str]:
    """Cells of a line without a row."""
    return [NOT_MEASURED, *[""] * (len(head) - 2)]


def counts(verdicts: dict[str, int]) -> str:
    """Verdicts and how many there are of each."""
    return ", ".join(f"{number:,} {verdict}" for verdict, number in verdicts.items())


def section(heading: str, words: str, head: list[str], body: list[list[str]], rows: Iterable[Row]) -> str:
    """Heading, words, table and where its rows come from."""
    found = list(rows)
    return "\n\n".join([heading, words, table(head, body), *([provenance(found)] if found else [])])
