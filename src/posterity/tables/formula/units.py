r"""Latents of a formula's program -> what people know them as, in the units of their table.

The program sees $\tilde y = (y - m) / s$, columns $(x_j - m_j) / s_j$ of the fixed part and columns $z_k / t_k$ of bar
terms. With $\eta = a + \sum_j b_j (x_j - m_j) / s_j + \sum_k u_{gk} z_k / t_k$,

    slope of x_j         s b_j / s_j               intercept   m + s (a - sum_j b_j m_j / s_j)
    effect of z_k        s u_gk / t_k              its sd      s sd_k / t_k         correlations are the same

exactly, draw by draw, so that importance weights stay as they are. Cutpoints become $c + \sum_j b_j m_j / s_j$.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from posterity.tables.formula.design import INTERCEPT
from posterity.tables.formula.effects import GroupEffects
from posterity.tables.scaling import Scaling

__all__ = ["draws_in_table_units", "labels_in_table_units"]


def draws_in_table_units(
    draws: Mapping[str, np.ndarray],
    scaling: Scaling,
    effects: Sequence[GroupEffects],
    in_target_units: Sequence[str],
) -> dict[str, np.ndarray]:
    """Draws of the intercept, slopes, sds, correlations, the family's own latents, and the effects of each group.

    Args:
        draws: Site -> draws, shape `(draw, ...)`.
        scaling: Of the columns of the fixed part, and of the response.
        effects: What varies by group.
        in_target_units: The family's latents that are scales of the response.

    Returns:
        The same sites, float64; `cor_SITE` in place of `L_SITE`.
    """
    z = {site: np.asarray(values, np.float64) for site, values in draws.items()}
    scale = scaling.target_sd
    found: dict[str, np.ndarray] = {}
    slopes, at_means = None, 0.0
    if "b" in z:
        slopes = _along(z["b"], 1.0 / scaling.sds)
        at_means = np.einsum("dj...,j->d...", slopes, scaling.means)  # what centring took out of the intercept
    if INTERCEPT in z:
        found[INTERCEPT] = scaling.target_mean + scale * (z[INTERCEPT] - at_means)
    if slopes is not None:
        found["b"] = scale * slopes
    if "cutpoints" in z:
        found["cutpoints"] = z["cutpoints"] + np.asarray(at_means)[..., None]
    for term in effects:
        per_unit = scale / term.scales
        several = len(term.columns) > 1
        sd, u = z[f"sd_{term.site}"], z[f"u_{term.site}"]
        found[f"sd_{term.site}"] = sd * per_unit if several else sd * per_unit[0]
        if several:
            factor = z[f"L_{term.site}"]
            rows, columns = np.triu_indices(len(term.columns), 1)
            found[f"cor_{term.site}"] = np.einsum("dij,dkj->dik", factor, factor)[:, rows, columns]
        found[f"u_{term.site}"] = u * per_unit if several else u * per_unit[0]
    for site, values in z.items():
        if site not in found and not site.startswith("L_"):
            found[site] = scale * values if site in in_target_units else values
    return _effects_last(found, effects)


def labels_in_table_units(
    columns: Sequence[str],
    effects: Sequence[GroupEffects],
    classes: Sequence[str],
    own: Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    """One label for each scalar of `draws_in_table_units`: `Days`, `sd_Subject[Days]`, `Subject[308, Days]`.

    Args:
        columns: Of the fixed part, without the intercept.
        effects: What varies by group.
        classes: Labels of the classes beyond the first, where there are several predictors; else empty.
        own: Labels that the model's own sites have.
    """
    found = dict(own) | {INTERCEPT: tuple(_by_class([INTERCEPT], classes)), "b": tuple(_by_class(columns, classes))}
    for term in effects:
        group, each = term.grouping.name, _by_class(term.columns, classes)
        found[f"sd_{term.site}"] = tuple(f"sd_{group}[{name}]" for name in each)
        rows, others = np.triu_indices(len(term.columns), 1)
        pairs = [(term.columns[i], term.columns[j]) for i, j in zip(rows, others, strict=True)]
        found[f"cor_{term.site}"] = tuple(f"cor_{group}[{first}, {second}]" for first, second in pairs)
        found[f"u_{term.site}"] = tuple(f"{group}[{level}, {name}]" for level in term.grouping.labels for name in each)
    return found


def _along(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Values `(draw, column, ...)` times one factor for each column."""
    return np.moveaxis(np.moveaxis(values, 1, -1) * factors, -1, 1)


def _by_class(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Every name for every class, where there are several: `Days, yes`."""
    return [f"{name}, {label}" for name in names for label in classes] if classes else list(names)


def _effects_last(found: dict[str, np.ndarray], effects: Sequence[GroupEffects]) -> dict[str, np.ndarray]:
    """What there are few of comes first: groups may be thousands."""
    last = [f"u_{term.site}" for term in effects]
    return {site: values for site, values in found.items() if site not in last} | {site: found[site] for site in last}
