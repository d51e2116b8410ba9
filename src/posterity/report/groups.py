"""The report on many datasets: verdicts first, then how each latent differs between them, and who stands apart."""

import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from posterity.report.sheet import Verdict, card, key, listed, made, sheet
from posterity.report.svg import Panel, figure
from posterity.results.table import number_text
from posterity.runtime.files import replacing

__all__ = ["Spread", "groups_report_html", "spread_of", "write_groups_report"]

MOST_LATENTS, MOST_SHOWN, MOST_LINES, MOST_ROWS = 8, 120, 20, 500
APART = 3.0
"""Sds from what the others let expect: of 1000 datasets of one normal population, 2.7 lie farther."""


class Spread(NamedTuple):
    """How one latent differs between datasets that know nothing of each other.

    Attributes:
        names: Datasets, by ascending mean.
        mean: Posterior mean of each, shape `(dataset,)`.
        sd: Posterior sd of each.
        low: 5% quantile of each.
        high: 95% quantile of each.
        centre: Mean of the population that they might come from.
        between: Its sd, estimated by moments (DerSimonian and Laird, 1986); 0 where chance explains all differences.
    """

    names: list[str]
    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    centre: float
    between: float

    @property
    def z(self) -> np.ndarray:
        """Distance of each from the centre, in sds of what chance and the population allow."""
        return (self.mean - self.centre) / np.sqrt(self.sd**2 + self.between**2)

    @property
    def shrunk(self) -> np.ndarray:
        """Mean of each, were the population its prior: drawn towards the centre, the farther the less it knows."""
        share = self.between**2 / (self.between**2 + self.sd**2)
        return self.centre + share * (self.mean - self.centre)


def write_groups_report(frame: pl.DataFrame, path: str | Path, *, title: str, command: str | None = None) -> None:
    """Writes the report on many datasets as one HTML file, replacing what is there.

    Args:
        frame: A line for each dataset and latent, as `Posteriors.to_frame` has them.
        path: The file.
        title: Its heading.
        command: How the answers were made, for the last section.

    Raises:
        InputError: `path` cannot be written.
    """
    text = groups_report_html(frame, title=title, command=command)
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def groups_report_html(frame: pl.DataFrame, *, title: str, command: str | None = None) -> str:
    """The report as text; see `write_groups_report`."""
    datasets = frame.unique("name", keep="first", maintain_order=True)
    trusted = frame.filter(pl.col("verdict").is_in(["corrected", "refined"]), pl.col("latent").is_not_null())
    labels = trusted["latent"].unique(maintain_order=True).to_list()
    spreads = {label: spread_of(trusted.filter(latent=label)) for label in labels[:MOST_LATENTS]}
    spreads = {label: spread for label, spread in spreads.items() if len(spread.names) > 2}
    counts = {verdict: datasets.filter(verdict=verdict).height for verdict in _TONES}
    return sheet(
        kind="Report on many datasets",
        title=title,
        verdict=_verdict(counts),
        facts=[("datasets", f"{datasets.height:,}"), *[(name, f"{number:,}") for name, number in counts.items()]],
        sections=[
            _failed(datasets),
            card("Who stands apart", *_apart(spreads)) if spreads else "",
            *[card(label, *_panels(label, spread)) for label, spread in spreads.items()],
            card("All datasets", *_table(datasets, trusted, labels[:MOST_LATENTS])),
            card("How it was made", made({"datasets": f"{datasets.height:,}"}, command)),
        ],
    )


_TONES = {"corrected": "corrected", "refined": "refined", "untrusted": "untrusted", "unanswered": "untrusted"}


def spread_of(frame: pl.DataFrame) -> Spread:
    """How one latent differs between datasets.

    Args:
        frame: A line for each dataset; numbers in the table's units are taken where there are any.
    """
    prefix = "table_" if "table_mean" in frame.columns and frame["table_mean"].is_not_null().all() else ""
    columns = [f"{prefix}{name}" for name in ("mean", "sd", "q05", "q95")]
    known = frame.drop_nulls(columns[0]).sort(columns[0])
    mean, sd, low, high = (known[column].to_numpy() for column in columns)
    if len(mean) < 2 or not np.all(sd > 0.0):
        none = np.zeros(0)
        return Spread([], none, none, none, none, 0.0, 0.0)
    precision = sd**-2.0
    centre = float(np.average(mean, weights=precision))
    excess = float(np.sum(precision * (mean - centre) ** 2)) - (len(mean) - 1)
    between = np.sqrt(max(0.0, excess / (precision.sum() - np.sum(precision**2) / precision.sum())))
    centre = float(np.average(mean, weights=1.0 / (sd**2 + between**2)))
    return Spread(known["name"].to_list(), mean, sd, low, high, centre, float(between))


def _verdict(counts: dict[str, int]) -> Verdict:
    good, bad = counts["corrected"] + counts["refined"], counts["untrusted"] + counts["unanswered"]
    tone = "corrected" if not bad else "refined" if good > 9 * bad else "untrusted"
    headline = "All computations can be relied on." if not bad else f"{bad:,} of {good + bad:,} answers cannot be used."
    return Verdict(
        tone,
        f"{good:,} of {good + bad:,}",
        headline,
        "Each dataset was answered and judged by itself: its verdict, reasons and numbers stand below.",
        "A verdict judges the computation. Whether the model suits a dataset is for a report of that one to say.",
    )


def _failed(datasets: pl.DataFrame) -> str:
    failed = datasets.filter(pl.col("verdict").is_in(["untrusted", "unanswered"]))
    if not failed.height:
        return ""
    lines = [f"{name}: {_first(reasons)}" for name, reasons in failed.select("name", "reasons").head(MOST_LINES).rows()]
    more = failed.height - len(lines)
    return card("Answers that cannot be used", listed([*lines, *([f"{more:,} more."] if more else [])]))


def _first(reasons: list[str] | str | None) -> str:
    return (reasons if isinstance(reasons, str) else reasons[0]) if reasons else "no reason is known"


def _apart(spreads: dict[str, Spread]) -> Iterable[str]:
    yield (
        f'<p class="lead">Datasets whose mean lies more than {APART:g} sds from the others\', where sds count what is '
        "not known of each and how they differ. Of 1000 from one normal population, 2.7 do so by chance.</p>"
    )
    lines = []
    for label, spread in spreads.items():
        for n in np.flatnonzero(np.abs(spread.z) > APART):
            mean, centre = (_text(value, float(spread.sd[n])) for value in (spread.mean[n], spread.centre))
            lines.append(
                (abs(spread.z[n]), f"{spread.names[n]}: {label} {mean}, others {centre} ({spread.z[n]:+.1f} sds)")
            )
    lines.sort(reverse=True)
    yield listed(line for _, line in lines[:MOST_LINES]) if lines else "<p>None.</p>"
    if len(lines) > MOST_LINES:
        yield f'<p class="lead">{len(lines) - MOST_LINES:,} more.</p>'


def _panels(label: str, spread: Spread) -> Iterator[str]:
    told = "chance explains all differences" if spread.between == 0.0 else f"sd {spread.between:.3g} between datasets"
    yield f'<p class="lead">Centre {_text(spread.centre, float(spread.sd.mean()))}; {told}.</p>'
    yield key("thin")
    shown = np.unique(np.linspace(0, len(spread.mean) - 1, MOST_SHOWN).astype(int))
    places = np.arange(len(shown), dtype=float)
    low, high = float(spread.low[shown].min()), float(spread.high[shown].max())
    room = 0.04 * (high - low)
    ranked = Panel(
        (-1.0, len(shown)),
        (low - room, high + room),
        x_label="datasets, by their mean",
        y_label=label,
        description=f"Mean and middle 90% of {label} in each dataset, from {low:.3g} to {high:.3g}",
    )
    ranked.line(np.array([-1.0, len(shown)]), np.full(2, spread.centre), "zero")
    ranked.upright(places, spread.low[shown], spread.high[shown], "thin")
    ranked.dots(places, spread.mean[shown], "recovery-dot", radius=3.0)
    ends = (float(spread.mean.min()) - room, float(spread.mean.max()) + room)
    shrinkage = Panel(
        ends,
        ends,
        x_label="alone",
        y_label="together",
        description=f"Means of {label} as they are, and drawn towards each other by a shared prior",
    )
    shrinkage.line(np.array(ends), np.array(ends), "prior-line")
    shrinkage.line(np.array(ends), np.full(2, spread.centre), "zero")
    shrinkage.dots(spread.mean[shown], spread.shrunk[shown], "recovery-dot", radius=2.4)
    yield (
        f'<div class="panels">{figure(ranked, f"{len(shown)} of {len(spread.mean)} datasets")}'
        f"{figure(shrinkage, 'what a prior shared by all would make of each mean; dashed: no change')}</div>"
    )


def _table(datasets: pl.DataFrame, trusted: pl.DataFrame, labels: list[str]) -> Iterator[str]:
    prefix = "table_" if "table_mean" in trusted.columns and trusted["table_mean"].is_not_null().any() else ""
    means: dict[str, dict[str, str]] = {}
    for name, label, mean, sd in trusted.select("name", "latent", f"{prefix}mean", f"{prefix}sd").iter_rows():
        means.setdefault(name, {})[label] = "" if mean is None else _text(mean, sd)
    rows = []
    for name, size, verdict in datasets.select("name", "num_rows", "verdict").head(MOST_ROWS).iter_rows():
        good = "yes" if verdict in ("corrected", "refined") else "no"
        numbers = "".join(f"<td>{means.get(name, {}).get(label, '')}</td>" for label in labels)
        told = f'<th scope="row">{html.escape(name)}</th><td>{size:,}</td><td class="{good}">{verdict}</td>'
        rows.append(f"<tr>{told}{numbers}</tr>")
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in ("dataset", "rows", "verdict", *labels))
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    yield f'<div class="wide"><table class="cells">{body}</table></div>'
    if datasets.height > MOST_ROWS:
        yield f'<p class="lead">The first {MOST_ROWS} of {datasets.height:,} are shown.</p>'


def _text(value: float, sd: float) -> str:
    return number_text(value, sd).replace("-", "\N{MINUS SIGN}")
