"""Posterior predictive check: data that the model would make, beside those that were seen."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from posterity.model.arguments import Argument
from posterity.report.density import density, padded_range
from posterity.report.svg import Panel, figure
from posterity.results.by_row import replicated_data, row_log_likelihood
from posterity.results.data import PosteriorData
from posterity.runtime.keys import key_for

__all__ = ["predictive_check"]

NUM_REPLICATED = 200
NUM_CURVES = 40
MAX_ROWS = 5000
MAX_COLUMNS = 3
MAX_BARS = 25
MAX_LABEL = 8


def predictive_check(
    posterior: PosteriorData,
    *,
    seed: int = 0,
    loc: float = 0.0,
    scale: float = 1.0,
    classes: Sequence[str] = (),
    target: str = "",
) -> str:
    """Figures and sentences for every data argument of the model.

    Args:
        posterior: The posterior.
        seed: Decides the replicated data.
        loc: Mean of a z-scored target, in the user's units.
        scale: Its standard deviation.
        classes: Labels of the codes of a binary or class target.
        target: Column that the target stands in; the argument's name if empty.
    """
    model = posterior.model
    arrays = _some_rows(dict(posterior.data))
    index = posterior.resampled(min(NUM_REPLICATED, posterior.num_draws))
    draws = {site: values[index] for site, values in posterior.weighted[0].items()}
    made = replicated_data(model, draws, arrays, key_for(seed, "replicated data"))
    parts = []
    for argument in model.data:
        name = (target if argument.shape == () else "") or argument.name
        observed, replicated = arrays[argument.name], made[argument.name]
        if argument.kind == "binary" and argument.shape == ():
            likelihood = np.exp(row_log_likelihood(model, draws, arrays)[argument.name])
            chance = np.where(observed == 1, likelihood, 1.0 - likelihood).mean(axis=0)
            parts.append(_calibration(name, observed, replicated, chance, classes))
            continue
        for column, seen, drawn in _columns(argument, observed, replicated):
            if argument.kind == "real":
                parts.append(_densities(f"{name}{column}", loc + scale * seen, loc + scale * drawn))
            else:
                labels = classes if argument.kind == "class" else ()
                parts.append(_frequencies(f"{name}{column}", seen, drawn, labels))
    return "".join(parts)


def _some_rows(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """At most `MAX_ROWS` rows, spread evenly."""
    num_rows = len(next(iter(arrays.values())))
    index = np.unique(np.linspace(0, num_rows - 1, min(num_rows, MAX_ROWS)).round().astype(int))
    return {name: array[index] for name, array in arrays.items()}


def _columns(
    argument: Argument, observed: np.ndarray, replicated: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, observed values `(row,)` and replicated ones `(draw, row)` of the first columns of an argument."""
    if argument.shape == ():
        return [("", observed, replicated)]
    seen, drawn = observed.reshape(len(observed), -1), replicated.reshape(*replicated.shape[:2], -1)
    return [(f"[{j}]", seen[:, j], drawn[:, :, j]) for j in range(min(seen.shape[1], MAX_COLUMNS))]


def _densities(name: str, observed: np.ndarray, replicated: np.ndarray) -> str:
    """Density of the data seen over those of replicated datasets, and how many fall where they were expected."""
    replicated = replicated[np.isfinite(replicated).all(axis=1)]
    if len(replicated) < 2:
        return f"<p>No finite data of '{html.escape(name)}' could be made from the draws.</p>"
    low, high = padded_range(np.concatenate([observed, replicated[:NUM_CURVES].ravel()]))
    curves = [density(values, low, high)[1] for values in replicated[:NUM_CURVES]]
    grid, seen = density(observed, low, high)
    lower, upper = np.quantile(replicated, [0.05, 0.95], axis=0)
    inside = np.mean((observed >= lower) & (observed <= upper))
    words = f"Density of {name} as observed, over {len(curves)} densities of replicated data"
    panel = Panel(
        (low, high), (0.0, 1.06 * max(seen.max(), *(c.max() for c in curves), 1e-300)), x_label=name, description=words
    )
    for curve in curves:
        panel.line(grid, curve, "replicated-line")
    panel.line(grid, seen, "observed-line")
    shape = figure(panel, f"{inside:.0%} of the rows lie inside the 90% interval predicted for them.")
    return shape + _statistics(name, observed, replicated)


def _statistics(name: str, observed: np.ndarray, replicated: np.ndarray) -> str:
    """Where the mean, the spread and the extremes of the data seen stand among those of replicated data."""
    rows = []
    for label, statistic in (("mean", np.mean), ("sd", np.std), ("smallest", np.min), ("largest", np.max)):
        seen, made = float(statistic(observed)), statistic(replicated, axis=1)
        low, high = (float(q) for q in np.quantile(made, [0.05, 0.95]))
        mark = "" if low <= seen <= high else ' class="apart"'
        rows.append(
            f'<tr{mark}><th scope="row">{label}</th><td class="number">{_short(seen)}</td>'
            f'<td class="number">{_short(low)} to {_short(high)}</td></tr>'
        )
    head = '<tr><th scope="col"></th><th scope="col">observed</th><th scope="col">90% of replicated data</th></tr>'
    caption = f"<caption>{html.escape(name)}: observed and replicated; bold where outside</caption>"
    return f'<table class="numbers">{caption}<thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _frequencies(name: str, observed: np.ndarray, replicated: np.ndarray, labels: Sequence[str]) -> str:
    """How often each count or class was seen, and how often in 90% of replicated datasets."""
    replicated = replicated[np.isfinite(replicated).all(axis=1)]
    if not len(replicated):
        return f"<p>No finite data of '{html.escape(name)}' could be made from the draws.</p>"
    largest = int(max(observed.max(), np.quantile(replicated, 0.995)))
    width = 1 if labels or largest < MAX_BARS else -(-(largest + 1) // MAX_BARS)
    num_bars = max(largest // width + 1, len(labels))
    seen = _tally(observed, width, num_bars)
    made = np.stack([_tally(values, width, num_bars) for values in replicated])
    low, middle, high = np.quantile(made, [0.05, 0.5, 0.95], axis=0)
    at = np.arange(num_bars) if labels else (np.arange(num_bars) + 0.5) * width - 0.5
    words = f"Rows with each value of {name}, and the middle 90% of their number in replicated data"
    panel = Panel(
        (float(at[0]) - 0.6 * width, float(at[-1]) + 0.6 * width),
        (0.0, 1.06 * max(seen.max(), high.max(), 1.0)),
        x_label=name,
        y_label="rows",
        description=words,
        x_names=[_cut(label) for label in labels] if labels and num_bars == len(labels) <= MAX_LABEL else (),
    )
    panel.bars(at, seen, 0.8 * width, "observed-bar")
    panel.upright(at, low, high, "replicated-bar")
    panel.dots(at, middle, "replicated-dot", radius=2.6)
    inside = int(np.sum((seen >= low) & (seen <= high)))
    return figure(panel, f"{inside} of {num_bars} bars lie in the 90% intervals of replicated data.")


def _tally(values: np.ndarray, width: int, num_bars: int) -> np.ndarray:
    return np.bincount(np.minimum(values.astype(int) // width, num_bars - 1), minlength=num_bars).astype(float)


def _calibration(
    name: str, observed: np.ndarray, replicated: np.ndarray, chance: np.ndarray, classes: Sequence[str]
) -> str:
    """Share of ones among rows with similar probability, against that probability."""
    num_bins = int(np.clip(len(observed) // 15, 1, 10))
    bins = np.array_split(np.argsort(chance), num_bins)
    expected = np.array([chance[rows].mean() for rows in bins])
    seen = np.array([observed[rows].mean() for rows in bins])
    made = np.stack([replicated[:, rows].mean(axis=1) for rows in bins])
    low, high = np.quantile(made, [0.05, 0.95], axis=1)
    one = classes[1] if classes else "1"
    words = f"Observed share of {one} in {num_bins} groups of rows, against the probability that the model gives them"
    panel = Panel(
        (-0.03, 1.03),
        (-0.03, 1.03),
        x_label=f"probability of {_cut(one, 24)}",
        y_label="observed share",
        description=words,
    )
    panel.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "zero")
    panel.upright(expected, low, high, "replicated-bar")
    panel.dots(expected, seen, "observed-dot", radius=3.6)
    inside = int(np.sum((seen >= low) & (seen <= high)))
    fewest, most = min(map(len, bins)), max(map(len, bins))
    rows = str(most) if fewest == most else f"{fewest} to {most}"
    return figure(
        panel, f"'{name}': {inside} of {num_bins} groups of {rows} rows lie in the 90% intervals of replicated data."
    )


def _cut(text: str, most: int = 10) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
