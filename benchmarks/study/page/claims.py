"""The paper's claims by name, with the comparisons that decide them."""

from collections.abc import Sequence

from report_text import table

from study.judging.claims import CLAIMS, Claim, claim_verdict, differences
from study.judging.contrasts import FALSE_ALARMS, Contrast, Difference, PaperValues, by_key, in_paper, measured
from study.judging.paper_cells import Cell
from study.judging.values import Study
from study.page.words import number, plus_minus

__all__ = ["claims_section"]

INTRO = (
    "Every comparison is turned so that a positive difference speaks for the claim. On real tables it is paired by "
    "table, over all tables at hand and not only the paper's; else by seed where both sides have two or more; else by "
    "test dataset where the rows have a value of each; otherwise the errors over test datasets are taken as "
    "independent (1 seed), which is cautious: both sides answer the same datasets. For: above zero by a t-test at "
    f"{FALSE_ALARMS:.0%}, two-sided; against: below. A claim **holds** if most comparisons made are for it and **does "
    "not hold** if most are against; it is **undecided** if at least half cannot be told from zero, and otherwise "
    "**mixed**. It is judged if at least a third could be made. Differences are in the paper's measure, which "
    "rewards under-dispersion; the last column has the same comparison by the held-out log predictive density in nats "
    "per row, which does not."
)


def claims_section(study: Study, cells: Sequence[Cell]) -> str:
    """All claims: verdicts first, then the comparisons that were made."""
    paper = by_key(list(cells))
    found = [(claim, differences(claim, study, paper)) for claim in CLAIMS]
    overview = table(["claim", "comparisons", "made", "for", "against", "undecided", "verdict"],
                     [_overview_line(claim, [d for _, d in pairs]) for claim, pairs in found])  # fmt: skip
    details = [_details(claim, pairs, study, paper) for claim, pairs in found]
    return "\n\n".join(["## The paper's claims by name", INTRO, overview, *details])


def _overview_line(claim: Claim, found: list[Difference | None]) -> list[str]:
    findings = [difference.finding for difference in found if difference is not None]
    counts = [str(findings.count(word)) for word in ("for", "against", "undecided")]
    return [claim.name, str(len(found)), str(len(findings)), *counts, claim_verdict(found)]


def _details(
    claim: Claim, pairs: list[tuple[Contrast, Difference | None]], study: Study, paper: PaperValues
) -> str:  # fmt: skip
    header = ["where", "comparison", "ours", "paper's", "finding", "by log predictive"]
    body = [_line(contrast, found, study, paper) for contrast, found in pairs if found is not None]
    says = f"### {claim.name}\n\n{claim.says} Verdict: **{claim_verdict([found for _, found in pairs])}**."
    return "\n\n".join([says, table(header, body)] if body else [says])


def _line(contrast: Contrast, found: Difference, study: Study, paper: PaperValues) -> list[str]:
    other = measured(contrast.by("log_predictive"), study)
    return [
        contrast.where, contrast.what, f"{plus_minus(found.value, found.error)} ({found.pairing})",
        number(in_paper(contrast, paper)), found.finding, plus_minus(other.value, other.error) if other else "",
    ]  # fmt: skip
