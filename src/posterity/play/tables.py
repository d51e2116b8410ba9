"""A table of the user's own as points in the picture: columns are moved and scaled to fit, and the axes say how."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from posterity.play.modes import HIGHEST, LOWEST, Mode, group_places
from posterity.runtime.errors import InputError, lookup
from posterity.tables.read import read_table

__all__ = ["MAX_POINTS", "points_of_table"]

MAX_POINTS = 256
FILL = 0.92  # of the half axis that the farthest value reaches


def points_of_table(entry: Mode, text: str, name: str, chosen: Mapping[str, str]) -> dict[str, Any]:
    """Points for a mode from the text of a CSV.

    Args:
        entry: The mode; its `columns` are looked for.
        text: The file.
        name: What messages call it.
        chosen: Role (`x`, `y`, `class`, `group`) -> column; the first that suit where none is given.

    Returns:
        `points`; `axes` with the `loc` and `scale` that take the picture's units to the table's; `chosen` and the
        `columns` that each role may have; `kinds`, names of classes or groups; and `remark`, what was left out.

    Raises:
        InputError: It is no table, no column suits a role, or classes or groups are too many.
    """
    frame = _read(text, name)
    may_be = {role: _candidates(frame, role, entry) for role in entry.columns}
    columns: dict[str, str] = {}
    for role in entry.columns:
        free = [column for column in may_be[role] if column not in columns.values()]
        if role in chosen:
            columns[role] = lookup("column", chosen[role], dict.fromkeys(may_be[role], chosen[role]))
        elif free:
            columns[role] = free[0]
        else:
            raise InputError(f"{name}: no column suits '{role}'. {_wanted(role, entry)}. Columns: {_listed(frame)}.")
    if len(set(columns.values())) < len(columns):
        raise InputError(f"{name}: one column stands for two things. Choose another for one of them.")
    whole = frame.select(list(columns.values())).drop_nulls()
    kept = whole if whole.height <= MAX_POINTS else whole[np.linspace(0, whole.height - 1, MAX_POINTS).astype(int)]
    if kept.height < 2:
        raise InputError(f"{name}: {kept.height} rows without a missing cell; at least 2 are needed.")
    axes = {role: _axis(kept[columns[role]]) for role in ("x", "y") if role in columns}
    at = {
        role: (kept[columns[role]].cast(pl.Float64).to_numpy() - axis["loc"]) / axis["scale"]
        for role, axis in axes.items()
    }
    kinds, codes = list(entry.kinds), np.zeros(kept.height, int)
    for role in ("class", "group"):
        if role in columns:
            found, codes = np.unique(kept[columns[role]].cast(pl.String).to_numpy(), return_inverse=True)
            kinds = [str(kind) for kind in found]
    if "x" not in at:
        at["x"] = group_places()[codes] + np.random.default_rng(0).uniform(-0.25, 0.25, len(codes))
    at.setdefault("y", np.full(kept.height, LOWEST + 0.2))
    return {
        "points": [
            {"x": round(float(x), 4), "y": round(float(y), 4), "kind": int(kind)}
            for x, y, kind in zip(at["x"], at["y"], codes, strict=True)
        ],
        "axes": {role: {"label": columns[role], **axis} for role, axis in axes.items()},
        "chosen": columns,
        "columns": may_be,
        "kinds": kinds,
        "remark": _remark(frame.height, whole.height, kept.height),
    }


def _read(text: str, name: str) -> pl.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text(text, encoding="utf-8", newline="")
        try:
            return read_table(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from None


def _candidates(frame: pl.DataFrame, role: str, entry: Mode) -> list[str]:
    if role in ("x", "y"):
        return [
            column.name
            for column in frame
            if column.dtype.is_numeric() and column.is_finite().all(ignore_nulls=True) and (column.n_unique() > 2)
        ]
    most = len(entry.kinds)
    few = [c.name for c in frame if 2 <= c.drop_nulls().n_unique() <= most and not c.dtype.is_float()]
    return few if role == "group" else [name for name in few if frame[name].drop_nulls().n_unique() == most]


def _wanted(role: str, entry: Mode) -> str:
    if role in ("x", "y"):
        return "It takes numbers, finite and not all alike"
    if role == "class":
        return "It takes a column of two different values"
    return f"It takes a column of 2 to {len(entry.kinds)} different values"


def _listed(frame: pl.DataFrame) -> str:
    return ", ".join(f"{column.name} ({column.dtype}, {column.n_unique()} different)" for column in frame[:, :12])


def _axis(column: pl.Series) -> dict[str, float]:
    values = column.cast(pl.Float64).to_numpy()
    loc, scale = float(values.mean()), float(values.std())
    farthest = float(np.abs(values - loc).max())
    if not (np.isfinite(scale) and scale > 0.0):
        raise InputError(f"column '{column.name}': its values are all alike; nothing can be seen of it.")
    return {"loc": loc, "scale": max(scale, farthest / (FILL * (HIGHEST - LOWEST) / 2.0))}


def _remark(read: int, whole: int, kept: int) -> str:
    told = f"{read} rows read"
    if whole < read:
        told += f", {read - whole} with a missing cell left out"
    if kept < whole:
        told += f", {kept} of them shown, evenly spread"
    return f"{told}. Columns are moved and scaled to fit the picture; sliders and latents are in its units."
