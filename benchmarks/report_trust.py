"""Sections on trust: verdicts against long NUTS, missed modes, and whether the anchor is the best Gaussian."""

from report_text import Row, ess_text, provenance, table
from rows import read


def trust_study_section() -> str:
    """Verdicts inside and outside the envelope."""
    rows = list({row["cell"]: row for row in read("trust_study")}.values())
    if not rows:
        return ""
    head = ["datasets", "corrected", "refined", "untrusted", "NUTS not converged", "compared", "false",
            "weighing s", "refining s (tries)", "NUTS s"]  # fmt: skip
    body = [[row["cell"], *_counts(row)] for row in rows]
    for place in ("inside", "outside"):
        chosen = [row for row in rows if row["place"] == place]
        if chosen:
            body.append([f"**{place}: {sum(r['datasets'] for r in chosen)} datasets**", *_counts(_sum(chosen))])
    return "\n\n".join(
        [
            "## How far verdicts can be trusted",
            "`python benchmarks/trust_study.py`: 1000 draws and at most 30 s of refining for every dataset, against "
            "NUTS (4 chains of 1000 + 1500 steps). False: `corrected` or `refined`, but a latent's mean is off by more "
            "than 0.25 sd or an sd by 25%; only where NUTS itself converged (rank R-hat at most 1.01). Outside: "
            "covariates with mean 2 and sd 3, a twentieth of the targets moved by 20 sds or multiplied by 50, data "
            "from another likelihood, 2048 rows. Seconds are sums over a cell's datasets, compilation left out.",
            table(["cell", *head[1:]], body),
            provenance(rows),
        ]
    )


def _sum(rows: list[Row]) -> Row:
    total = {key: sum(row[key] for row in rows) for key in
             ("corrected", "refined", "untrusted", "references_without", "compared", "refining_seconds",
              "refined_tries", "nuts_seconds")}  # fmt: skip
    seconds = sum(row["weighing_seconds"] * row["datasets"] for row in rows)
    count = sum(row["datasets"] for row in rows)
    return {**total, "false": [f for row in rows for f in row["false"]], "weighing_seconds": seconds / count,
            "datasets": count}  # fmt: skip


def _counts(row: Row) -> list[str]:
    false = len(row["false"])
    share = f" ({false / row['compared']:.1%})" if row["compared"] else ""
    keys = ("corrected", "refined", "untrusted", "references_without", "compared")
    return [
        *(str(row[key]) for key in keys), f"{false}{share}", f"{row['weighing_seconds'] * row['datasets']:.1f}",
        f"{row['refining_seconds']:.0f} ({row['refined_tries']})", f"{row['nuts_seconds']:.0f}",
    ]  # fmt: skip


def missed_modes_section() -> str:
    """The Gaussian mixture."""
    rows = list({(r["components"], r["dims"]): r for r in read("missed_modes")}.values())
    if not rows:
        return ""
    head = ["components, dimensions", "modes", "q", "corrected", "refined", "untrusted", "accepted with all modes",
            "share error, median", "largest"]  # fmt: skip
    body = []
    for row in rows:
        for name, label in (("whole", "all modes found"), ("cut", "its best mode alone, not refined")):
            found = row[name]
            errors = [found["share_error_median"], found["share_error_largest"]]
            body.append(
                [f"{row['components']}, {row['dims']}", str(row["modes"]), label, str(found["corrected"]),
                 str(found["refined"]), str(found["untrusted"]), str(found["accepted_with_all_modes"]),
                 *("" if error is None else f"{error:.3f}" for error in errors)]
            )  # fmt: skip
    return "\n\n".join(
        [
            "## Missed modes: the Gaussian mixture",
            "`python benchmarks/missed_modes.py`: 100 rows, component sd 0.316, 4000 draws, at most 10 s of refining. "
            "Relabelling the components changes nothing, so every mode has the same share of the posterior; the error "
            "is the largest of a dataset's modes. The second line of each pair shows what no weight can tell: a q that "
            "knows one mode only is `corrected`, and wrong.",
            table(head, body),
            provenance(rows),
        ]
    )


def trust_wrong_section() -> str:
    """A q that is wrong on purpose."""
    rows = list({(row["case"], row["latents"]): row for row in read("trust_wrong")}.values())
    if not rows:
        return ""
    head = ["q", "latents", "datasets", "accepted", "accepted and wrong", "by the rule before", "draws weighed"]
    body = [
        [row["case"], str(row["latents"]), str(row["datasets"]), str(row["now"]["accepted"]),
         _share(row["now"]["accepted_and_wrong"], row["datasets"]),
         _share(row["before"]["accepted_and_wrong"], row["datasets"]), f"{row['draws']:.0f}"]
        for row in rows
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## A q that is wrong on purpose",
            "`python benchmarks/trust_wrong.py`: Gaussian posteriors, 1000 draws and what `infer` adds to them, no "
            "sampling. Wrong: a mean is off by more than 0.25 sd or an sd by 25%. The rule before: draws of q alone.",
            table(head, body),
            provenance(rows),
        ]
    )


def trust_trained_section() -> str:
    """Networks stopped at any stage of training."""
    rows = list({(r["case"], r["family"], r["objective"], r["stage"]): r for r in read("trust_trained")}.values())
    if not rows:
        return ""
    head = ["model", "posterior", "objective", "steps", "datasets", "ESS", "accepted", "accepted and wrong"]
    body = [
        [row["case"], row["family"], row["objective"], f"{row['stage']:.0%}", str(row["datasets"]),
         f"{row['ess']:.2f}", str(row["accepted"]), _share(row["accepted_and_wrong"], row["datasets"])]
        for row in rows
    ]  # fmt: skip
    accepted, wrong = (sum(row[key] for row in rows) for key in ("accepted", "accepted_and_wrong"))
    return "\n\n".join(
        [
            "## Trained estimators at every stage of training",
            f"`python benchmarks/trust_trained.py`: of {len(rows)} networks, {accepted:,} answers were accepted and "
            f"{wrong} of these wrong (a mean off by more than 0.25 sd or an sd by 25%), against sums over a grid. 1000 "
            "draws and what `infer` adds to them, no sampling; ESS is the median share of the draws that were weighed.",
            table(head, body),
            provenance(rows),
        ]
    )


def _share(count: int, total: int) -> str:
    return f"{count} ({count / total:.1%})" if count else "0"


def fit_section() -> str:
    """What `fit` sees of data that are not the model's."""
    rows = list({(row["shift"], row["rows"]): row for row in read("fit_study")}.values())
    if not rows:
        return ""
    head = ["shift", "strength counts", "rows", "AUC at strength", "of the evidence", "half are flagged from",
            "false alarms at 0.01"]  # fmt: skip
    body = [
        [row["shift"], row["what"].replace("|", "\\|"), str(row["rows"]),
         ", ".join(f"{s:g}: {a:.2f}" for s, a in zip(row["strengths"], row["auc"], strict=True)),
         ", ".join("-" if a is None else f"{a:.2f}" for a in row.get("auc_evidence", [])),
         "not reached" if row["limit"] is None else f"{row['limit']:.2g}", f"{row['false_alarms']:.1%}"]
        for row in rows
    ]  # fmt: skip
    alarms = sum(row["false_alarms"] * row["datasets"] for row in rows) / sum(row["datasets"] for row in rows)
    blind = [f"{row['shift']} ({row['rows']} rows)" for row in rows if max(row["auc"]) < 0.7]
    unseen = f" Hardly seen at any strength tried (AUC below 0.7): {', '.join(blind)}." if blind else ""
    return "\n\n".join(
        [
            "## What fit sees",
            f"`python benchmarks/fit_study.py`: {rows[0]['datasets']} datasets of each kind from the model's own "
            "joint, changed in several strengths; AUC compares p-values of changed and unchanged ones, 0.5 sees "
            f"nothing. Of unchanged datasets {alarms:.1%} are flagged at 0.01.{unseen}",
            table(head, body),
            provenance(rows),
        ]
    )


def best_gaussian_section() -> str:
    """The anchor against the optimum."""
    rows = list({(r["rows"], r["features"]): r for r in read("informed_best_gaussian")}.values())
    if not rows:
        return ""
    head = ["rows, features", "ESS of the anchor", "ESS of the best Gaussian in KL(q, p)", "ratio of medians"]
    body = [
        [f"{r['rows']}, {r['features']}", ess_text({"ess": r["anchor"]}), ess_text({"ess": r["optimum"]}),
         f"{r['ratio_of_medians']:.3f}"]
        for r in rows
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## The anchor and the best Gaussian",
            "`python benchmarks/informed_best_gaussian.py`: logistic regression, 200 datasets, 4000 draws; the optimum "
            "is iterated in float64 for every dataset.",
            table(head, body),
            provenance(rows),
        ]
    )
