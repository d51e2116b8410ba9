"""What the measurements found, in one paragraph computed from the rows: the first that a reader of the page sees."""

from report_informed import merged_informed
from rows import read

__all__ = ["findings"]


def findings() -> str:
    """The paragraph of docs/measured.md."""
    tables = list({row["table"]: row for row in read("real_tables")}.values())
    cells = list({row["cell"]: row for row in read("trust_study")}.values())
    simulated = [row for row in merged_informed() if "informed" in row]
    parts = []
    if tables:
        corrected = sum(row["verdict"] == "corrected" for row in tables)
        gap = max(row["mean_gap"] for row in tables)
        parts.append(
            f"On {len(tables)} real tables, linear and logistic, {corrected} answers are `corrected` by their weights "
            f"alone, and no posterior mean lies further than {gap:.3f} sd from that of long NUTS."
        )
    if cells:
        corrected = sum(row["corrected"] for row in cells)
        compared = sum(row["compared"] for row in cells)
        false = sum(len(row["false"]) for row in cells)
        parts.append(
            f"Of {sum(row['datasets'] for row in cells):,} simulated datasets, many unlike anything that the shipped "
            f"network was trained for, {corrected:,} are `corrected`; of {compared:,} answers held against converged "
            f"NUTS, {false} {'was' if false == 1 else 'were'} wrong and accepted."
        )
    if simulated:
        healthy = sum(row["informed"]["ess"]["median"] >= 0.9 for row in simulated)
        worst = min(simulated, key=lambda row: row["informed"]["ess"]["median"])
        prior = "" if worst["prior_sd"] is None else f" under a prior of sd {worst['prior_sd']:g}"
        parts.append(
            f"In {healthy} of {len(simulated)} kinds and sizes of regression, 1000 draws are worth 900 or more; in the "
            f"worst, {worst['model'].replace('_', ' ')} regression of {worst['rows']} rows and {worst['features']} "
            f"columns{prior}, they are worth {1000 * worst['informed']['ess']['median']:.0f}."
        )
    return " ".join(["**What was found.**", *parts])
