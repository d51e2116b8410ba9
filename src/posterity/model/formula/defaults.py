"""The prior of each latent of a formula's program: what was asked for, or else what `docs/formulas.md` tells."""

import math
from collections.abc import Mapping

from posterity.model.formula.family import ResponseFamily
from posterity.model.formula.priors import Prior, joined, parse_prior
from posterity.model.formula.program import Layout
from posterity.runtime.errors import InputError, did_you_mean

__all__ = ["priors_of"]

SLOPES = "Normal(0, 2.5)"
CORRELATIONS = "LKJ(2)"


def priors_of(layout: Layout, family: ResponseFamily, given: Mapping[str, str]) -> dict[str, Prior]:
    """Latent -> prior.

    Keys are `Intercept`, `b`, `sd` and `cor` (all groups), `sd_SITE` and `cor_SITE` (one group), `b[COLUMN]` and
    `sd_SITE[COLUMN]` (one entry), `cutpoints` (the first one) and `gaps` (between neighbours), and the family's own
    latents; those that the program has.

    Args:
        layout: What the program consists of.
        family: Of the response.
        given: Key -> distribution with numbers, as text.

    Raises:
        InputError: There is no such latent, or the text is no prior that it can have.
    """
    slots = _slots(layout, family)
    entries = _entries(layout)
    single = [f"{latent}[{name}]" for latent, names in entries.items() for name in names]
    known = dict.fromkeys([*slots, *(general for general, _, _ in slots.values() if general), *single])
    for name in given:
        if name not in known:
            told = f"priors: no latent '{name}' in this formula; it has {', '.join(known)}."
            raise InputError(f"{told}{did_you_mean(name, known)}")
    found = {}
    for latent, (general, support, default) in slots.items():
        key = general if general is not None and latent not in given else latent
        usual = parse_prior(key, given.get(key, default), support)
        own = {name: f"{latent}[{name}]" for name in entries.get(latent, ())}
        each = [parse_prior(one, given[one], support) if one in given else usual for one in own.values()]
        found[latent] = joined(latent, each or [usual])
    return found


def _entries(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Latent that has several entries -> their names: slopes, and sds of effects that are correlated."""
    found = {"b": layout.columns} if layout.columns else {}
    return found | {f"sd_{term.site}": term.columns for term in layout.effects if len(term.columns) > 1}


def _slots(layout: Layout, family: ResponseFamily) -> dict[str, tuple[str | None, str, str]]:
    """Latent -> the key that stands for all of its kind, its support, and its default."""
    slots: dict[str, tuple[str | None, str, str]] = {}
    if family.location == "cutpoints":
        first, log_gap = _equal_shares(layout.num_classes)
        slots["cutpoints"] = None, "cutpoint", f"Normal({first:.2f}, 2.5)"
        if layout.num_classes > 2:
            slots["gaps"] = None, "gap", f"LogNormal({log_gap:.2f}, 1)"
    elif layout.has_intercept:
        slots["Intercept"] = None, "real", f"Normal({layout.intercept_at:.2f}, 2.5)"
    if layout.columns:
        slots["b"] = None, "real", SLOPES
    for term in layout.effects:
        slots[f"sd_{term.site}"] = "sd", "positive", family.sd
        if len(term.columns) > 1:
            slots[f"cor_{term.site}"] = "cor", "correlation", CORRELATIONS
    return slots | {name: (None, "positive", default) for name, default in family.own.items()}


def _equal_shares(num_classes: int) -> tuple[float, float]:
    """The first cutpoint of classes that are equally likely, and the log of the mean gap between its neighbours."""
    first = -math.log(num_classes - 1.0)
    return first, math.log(max(-2.0 * first / max(num_classes - 2, 1), 1e-6))
