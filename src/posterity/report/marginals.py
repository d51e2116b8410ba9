"""Each latent's posterior density against its prior, and the pairs that depend on each other most."""

from collections.abc import Sequence

import numpy as np

from posterity.report.density import density, padded_range, shared_range
from posterity.report.latent import Latent
from posterity.report.svg import Panel, figure

__all__ = ["MAX_MARGINALS", "MAX_PAIRS", "marginal_panels", "pair_panels"]

MAX_MARGINALS = 12
MAX_PAIRS = 3
MAX_DOTS = 400
MAX_COMPARED = 500
"""Latents whose correlations are compared: a matrix of 500 x 500."""


def marginal_panels(latents: Sequence[Latent]) -> str:
    """One panel per latent: the posterior filled, the prior as a line."""
    return "".join(_marginal(latent) for latent in latents)


def pair_panels(latents: Sequence[Latent]) -> str:
    """Scatter plots of the most correlated pairs.

    Args:
        latents: Latents with finite draws only, at least 2.
    """
    compared = [latent for latent in latents if np.ptp(latent.posterior) > 0.0][:MAX_COMPARED]
    if len(compared) < 2:
        return ""
    correlations = np.corrcoef(np.stack([latent.posterior for latent in compared]))
    rows, columns = np.triu_indices(len(compared), k=1)
    strongest = np.argsort(-np.abs(correlations[rows, columns]))[:MAX_PAIRS]
    pairs = [(compared[rows[i]], compared[columns[i]], float(correlations[rows[i], columns[i]])) for i in strongest]
    return "".join(_pair(*pair) for pair in pairs)


def _marginal(latent: Latent) -> str:
    low, high = shared_range(latent.posterior, latent.prior, support=latent.support)
    grid, ours = density(latent.posterior, low, high, latent.support)
    before = density(latent.prior, low, high, latent.support)[1] if len(latent.prior) > 1 else np.zeros(0)
    top = max(ours.max(), before.max(initial=0.0)) or 1.0
    middle = np.quantile(latent.posterior, [0.05, 0.5, 0.95])
    words = f"Posterior of {latent.label}: median {middle[1]:.3g}, middle 90% from {middle[0]:.3g} to {middle[2]:.3g}"
    panel = Panel((low, high), (0.0, 1.06 * top), x_label=latent.label, description=words)
    panel.area(grid, ours, "posterior-area")
    panel.line(grid, ours, "posterior-line")
    if len(before):
        panel.line(grid, before, "prior-line")
    return f"<figure>{panel}</figure>"


def _pair(first: Latent, second: Latent, correlation: float) -> str:
    every = max(1, len(first.posterior) // MAX_DOTS)
    words = f"Draws of {first.label} against {second.label}, correlation {correlation:.2f}"
    panel = Panel(
        padded_range(first.posterior),
        padded_range(second.posterior),
        x_label=first.label,
        y_label=second.label,
        description=words,
    )
    xs, ys = first.posterior[::every], second.posterior[::every]
    inside = (xs >= panel.x[0]) & (xs <= panel.x[1]) & (ys >= panel.y[0]) & (ys <= panel.y[1])
    panel.dots(xs[inside], ys[inside], "draw", radius=1.8)
    return figure(panel, f"correlation {correlation:.2f}".replace("-", "\N{MINUS SIGN}"))
