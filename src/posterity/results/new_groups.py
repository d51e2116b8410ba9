"""Rows of groups that the dataset did not have: their effects are drawn from the prior, given all that is known."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, PRNGKeyArray
from numpyro import handlers
from numpyro.primitives import Messenger

from posterity.model.arrays import plain_array
from posterity.model.intake import pad_arrays, plate_sizes
from posterity.model.levels import codes_of, text_array
from posterity.model.model import Model
from posterity.model.read import with_more_groups
from posterity.model.space import PlateMasks, broadcast_mask
from posterity.results.axes import active_entries
from posterity.results.by_row import at_capacity
from posterity.results.data import PosteriorData
from posterity.runtime.compile import filter_jit
from posterity.runtime.errors import InputError
from posterity.runtime.keys import key_for
from posterity.runtime.threads import NUMPYRO

__all__ = ["GroupsOfRows", "groups_of_rows"]


class GroupsOfRows(NamedTuple):
    """What predicts some new rows.

    Attributes:
        model: The model, with room for their groups.
        rows: The new rows, with codes in place of words, the number of groups, and what is known of each group.
        known: Plate -> groups that the dataset had, which come first.
        reasons: One sentence for each argument with new groups.
    """

    model: Model
    rows: dict[str, Any]
    known: Mapping[str, int]
    reasons: tuple[str, ...]

    def draws(self, posterior: PosteriorData, arrays: Mapping[str, np.ndarray], seed: int) -> Mapping[str, np.ndarray]:
        """Draws of equal weight of the latents of all groups.

        Args:
            posterior: Of the dataset.
            arrays: The new rows, as `read_arrays` gives them.
            seed: Decides the latents of new groups.
        """
        sizes = plate_sizes(self.model, arrays)
        if sizes == self.known:
            return posterior.draws
        latents = {name: jnp.asarray(values) for name, values in at_capacity(self.model, posterior.draws).items()}
        masks = self.model.plate_masks({**self.model.capacity, **self.known})
        padded = pad_arrays(self.model, arrays, sizes, len(next(iter(arrays.values()))))
        row = {a.name: jnp.asarray(padded.values[a.name][:1]) for a in self.model.covariates}
        keys = random.split(key_for(seed, "new groups"), posterior.num_draws)
        completed = jax.device_get(_fill_all(self.model, latents, masks, row, keys))
        return active_entries(self.model, completed, sizes)


def groups_of_rows(posterior: PosteriorData, new_rows: Mapping[str, Any]) -> GroupsOfRows:
    """Looks which groups of new rows the dataset did not have.

    Args:
        posterior: Of the dataset.
        new_rows: Argument -> array of the new rows, as the user gave them.

    Raises:
        InputError: Words stand for groups that were given as codes or the other way round; something that the model
            must know of new groups is missing, or their prior is improper.
    """
    model, rows, reasons = posterior.model, dict(new_rows), []
    known = plate_sizes(model, posterior.data)
    sizes = dict(known)
    for group in model.groups:
        for argument in group.indices:
            if rows.get(argument) is None:
                continue  # whoever reads the rows says so
            names = posterior.columns.get(group.argument, ())
            rows[argument], new = _codes(argument, rows[argument], names, known[group.plate])
            sizes[group.plate] = max(sizes[group.plate], known[group.plate] + len(new))
            reasons += _told(argument, new)
        rows[group.argument] = sizes[group.plate]
        for argument in group.arrays:
            if rows.get(argument) is None:
                if sizes != known:
                    raise InputError(
                        f"predict: new rows lack '{argument}', which '{model.name}' must know of new {group.plate}; "
                        f"give one entry for each of the {sizes[group.plate]}, those of the dataset first"
                    )
                rows[argument] = posterior.data[argument][0]
    if sizes != known:
        _refuse_improper(model, {plate for plate in sizes if sizes[plate] > known[plate]})
    if any(size > model.capacity[plate] for plate, size in sizes.items()):
        model = with_more_groups(model, sizes)
    return GroupsOfRows(model, rows, known, tuple(reasons))


def _codes(argument: str, value: Any, names: Sequence[str], size: int) -> tuple[np.ndarray, list[str]]:
    """Codes of the groups of new rows, those of new groups from `size` on, and the new groups' names."""
    where = f"predict: '{argument}' of the new rows"
    words = text_array(where, value)
    if (words is None) == bool(names):
        expected = f"words, such as '{names[0]}'" if names else f"codes from 0 to {size - 1}, or larger for new groups"
        raise InputError(f"{where} must be {expected}, as in the dataset; got {'codes' if names else 'words'}")
    if words is not None:
        unnamed = [str(i) for i in range(len(names), size)]  # groups of which the dataset has no row
        codes, new = codes_of(words, [*names, *unnamed])
        return codes, list(new)
    codes = plain_array(where, value)
    if codes.dtype.kind not in "iu":
        return codes, []
    beyond = np.unique(codes[codes >= size])
    return np.where(codes >= size, size + np.searchsorted(beyond, codes), codes), [str(code) for code in beyond]


def _told(argument: str, new: Sequence[str]) -> list[str]:
    if not new:
        return []
    shown = ", ".join([*new[:3], *(["..."] if len(new) > 3 else [])])
    were = "1 group" if len(new) == 1 else f"{len(new)} groups"
    return [
        f"{were} of '{argument}' ({shown}) had no row in the dataset: latents there are drawn from their prior, given "
        "the other latents."
    ]


def _refuse_improper(model: Model, plates: set[str]) -> None:
    for site in model.space.sites:
        if site.improper and plates & set(site.plates):
            raise InputError(
                f"predict: latent site '{site.name}' of '{model.name}' has an improper prior, so that nothing is known "
                "of groups that the dataset does not have; give it a proper one, or leave their rows out"
            )


@partial(filter_jit, effort="little")
def _fill_all(
    model: Model, latents: Mapping[str, Array], masks: PlateMasks, rows: Mapping[str, Array], keys: Array
) -> dict[str, Array]:
    def one(at: Mapping[str, Array], key: PRNGKeyArray) -> dict[str, Array]:
        program = handlers.trace(handlers.seed(model.function, key))
        blank = {a.name: jnp.zeros((1, *a.shape), a.dtype) for a in model.data}
        with NUMPYRO, _Fill(model, at, masks):
            trace = program.get_trace(**rows, **blank)
        return {site.name: trace[site.name]["value"] for site in model.space.sites}

    return vmap(one)(latents, keys)


class _Fill(Messenger):
    """Gives latents what is known of them as soon as they are drawn; what is not known stays as it was drawn."""

    def __init__(self, model: Model, latents: Mapping[str, Array], masks: PlateMasks):
        super().__init__()
        self.sites = {site.name: site for site in model.space.sites}
        self.latents, self.masks = latents, masks

    def process_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A latent outside all plates of groups is known, and need not be drawn."""
        site = self.sites.get(msg["name"]) if msg["type"] == "sample" else None
        if site is not None and not any(plate in self.masks for plate in site.plates):
            msg["value"] = self.latents[site.name]

    def postprocess_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The known entries of a latent inside a plate of groups."""
        site = self.sites.get(msg["name"]) if msg["type"] == "sample" else None
        if site is not None:
            is_known = broadcast_mask(site.plates, self.masks, jnp.shape(msg["value"]))
            msg["value"] = jnp.where(is_known, self.latents[site.name], msg["value"])
