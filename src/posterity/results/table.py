"""The posterior as a table for the terminal: verdict first, then one line per latent."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from posterity.results.fit import Fit
from posterity.runtime.errors import lookup

__all__ = ["k_hat_text", "number_text", "posterior_table"]

_STYLES = {"corrected": "green", "refined": "blue", "untrusted": "red"}
_SHOWN = {
    "corrected": "Draws are reweighted by Pareto-smoothed importance weights.",
    "refined": "Draws come from a sampler started at q.",
    "untrusted": "Draws are the best that there are: the reasons say whose, and why they are not to be relied on.",
}
_STATISTICS = ("mean", "sd", "q05", "q50", "q95")
_MAX_LATENTS = 40
_LABEL_WIDTH = 8
_LAST_LATENTS = 8  # scalars such as a noise sd usually close the list

_Summary = Mapping[str, Mapping[str, float]]


def posterior_table(
    summary: _Summary,
    *,
    title: str,
    verdict: str,
    reasons: Sequence[str],
    pareto_k: float,
    ess: float,
    num_draws: int | None = None,
    is_doubtful: bool = False,
    fit: Fit | None = None,
    reference: _Summary | None = None,
    reference_name: str = "NUTS",
    table_units: _Summary | None = None,
) -> RenderableType:
    """One answer for the eye; print it with a Rich console.

    Args:
        summary: As from `summarise`.
        title: Heading of the table, such as the model and the file.
        verdict: Of the answer.
        reasons: Sentences, one bullet each.
        pareto_k: Tail index of the weights.
        ess: Effective sample size, in draws.
        num_draws: Draws that `ess` is to be compared with, if it shall be shown.
        is_doubtful: The estimator has not shown that it is good, whatever the weights are.
        fit: Whether the data look like the model, if that shall be told; a second line beside the verdict.
        reference: Summary of another sampler: its mean and sd stand beside ours, and "apart" is our mean
            minus its mean in units of its sd.
        reference_name: What to call it.
        table_units: Summary in the units of the table; shown below.
    """
    style = "yellow" if is_doubtful else lookup("verdict", verdict, _STYLES)
    of_draws = "" if num_draws is None else f" of {num_draws}"
    numbers = f"Pareto k-hat {k_hat_text(pareto_k)}, ESS {ess:.0f}{of_draws}"
    parts: list[RenderableType] = [
        Text.assemble((verdict, f"bold {style}"), " by a doubtful estimator  " if is_doubtful else "  ", numbers),
        *([] if fit is None else [Text(f"fit  {fit}", style="red" if fit.is_suspicious else "")]),
        _bullets(reasons, style),
        Text(_SHOWN[verdict], style="dim"),
        _latent_table(title, summary, reference, reference_name),
    ]
    if table_units is not None:
        parts.append(_latent_table("in the units of the table", table_units, None, reference_name))
    return Group(*parts)


def _latent_table(title: str, summary: _Summary, reference: _Summary | None, reference_name: str) -> Group:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("latent", overflow="fold", min_width=_LABEL_WIDTH)
    for name in _statistics(reference):
        table.add_column(name, justify="right", no_wrap=True)
    if reference is not None:
        for name in (f"{reference_name} mean", f"{reference_name} sd", "apart"):
            table.add_column(Text(name), justify="right", no_wrap=True, style="cyan")

    first, hidden, last = _shortened(list(summary))
    for label in first:
        table.add_row(*_row(label, summary[label], reference))
    if hidden:
        table.add_row(Text(f"... {hidden} more, not shown", style="dim"))
    for label in last:
        table.add_row(*_row(label, summary[label], reference))
    return Group(Text(title, style="bold"), table)  # a title of the table itself would wrap at its width


def _statistics(reference: _Summary | None) -> tuple[str, ...]:
    """Without the median where a reference stands beside: both then fit into 80 columns."""
    return _STATISTICS if reference is None else tuple(name for name in _STATISTICS if name != "q50")


def _bullets(reasons: Sequence[str], style: str) -> Table:
    bullets = Table.grid()  # two columns, so that a long sentence goes on below its own first word
    for reason in reasons:
        bullets.add_row(Text("  - ", style=style), Text(reason, style=style))
    return bullets


def _shortened(labels: list[str]) -> tuple[list[str], int, list[str]]:
    """Labels to show first, how many to leave out after them, and labels to close with."""
    if len(labels) <= _MAX_LATENTS:
        return labels, 0, []
    return labels[: _MAX_LATENTS - _LAST_LATENTS], len(labels) - _MAX_LATENTS, labels[-_LAST_LATENTS:]


def _row(label: str, ours: Mapping[str, float], reference: _Summary | None) -> list[Text]:
    cells = [number_text(ours[name], ours["sd"]) for name in _statistics(reference)]
    if reference is not None:
        theirs = reference.get(label)
        cells += ["-"] * 3 if theirs is None else _beside(ours, theirs)
    return [Text(cell) for cell in (label, *cells)]  # Text, since Rich would read w[bmi] as markup


def _beside(ours: Mapping[str, float], theirs: Mapping[str, float]) -> list[str]:
    apart = (ours["mean"] - theirs["mean"]) / theirs["sd"] if theirs["sd"] > 0 else float("nan")
    pair = [number_text(theirs[name], ours["sd"]) for name in ("mean", "sd")]
    return [*pair, f"{apart:+.2f} sd" if np.isfinite(apart) else "-"]


def number_text(value: float, sd: float) -> str:
    """`value` to the decimals of two significant digits of `sd`: more would be noise of the draws."""
    if not np.isfinite(value):
        return "-"
    if not (np.isfinite(sd) and sd > 0):
        return f"{value:.4g}"
    decimals = 1 - int(np.floor(np.log10(sd)))
    if decimals > 6 or max(abs(value), sd) >= 1e7:
        return f"{value:.3e}"
    return f"{value:z.{max(decimals, 0)}f}"  # z: no minus before a rounded zero


def k_hat_text(pareto_k: float) -> str:
    """k-hat to two decimals, or what its infinities and NaN stand for."""
    if np.isneginf(pareto_k):
        return "-inf (all weights are equal)"
    return "unknown" if np.isnan(pareto_k) else f"{pareto_k:.2f}"
