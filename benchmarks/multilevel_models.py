"""Ten classic multilevel tables as NumPyro models, group effects centred, with the columns that each is given.

A real response is z-scored, and so is a numeric covariate, unless its own scale is said below; factors are treatment
coded against their first level in sorted order. Priors are weakly informative on that scale: normals of sd 2.5 for the
intercept and every slope, half-normals of sd 1 for the sds of groups and of noise, LKJ(2) for a correlation. The usual
formula of each, in lme4's notation, stands beside it.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
from jax import Array

__all__ = ["TABLES", "Table", "path_of", "read_table"]

COEFFICIENT_SD, SPREAD_SD, LKJ = 2.5, 1.0, 2.0

Arrays = dict[str, np.ndarray]


def fixed_part(x: Array | None = None) -> Any:
    """An intercept, and a slope for each column `(obs, column)`."""
    intercept: Any = numpyro.sample("intercept", dist.Normal(0.0, COEFFICIENT_SD))
    if x is None:
        return intercept
    slopes: Any = numpyro.sample("slopes", dist.Normal(0.0, COEFFICIENT_SD).expand([x.shape[1]]).to_event(1))
    return intercept + x @ slopes


def effects(name: str, levels: int) -> Any:
    """An effect for each level of a factor, with their sd as `NAME_sd`, shape `(levels,)`."""
    sd: Any = numpyro.sample(f"{name}_sd", dist.HalfNormal(SPREAD_SD))
    with numpyro.plate(f"{name}_levels", levels):
        return numpyro.sample(name, dist.Normal(0.0, sd))


def correlated_effects(name: str, levels: int) -> Any:
    """An intercept and a slope for each level of a factor, correlated, shape `(levels, 2)`."""
    sd: Any = numpyro.sample(f"{name}_sd", dist.HalfNormal(SPREAD_SD).expand([2]).to_event(1))
    factor: Any = numpyro.sample(f"{name}_factor", dist.LKJCholesky(2, LKJ))
    with numpyro.plate(f"{name}_levels", levels):
        return numpyro.sample(name, dist.MultivariateNormal(jnp.zeros(2), scale_tril=sd[:, None] * factor))


def normal_rows(mean: Array, y: Array | None, num_rows: int) -> None:
    """Rows with normal noise of unknown sd."""
    sigma: Any = numpyro.sample("sigma", dist.HalfNormal(SPREAD_SD))
    with numpyro.plate("observations", num_rows):
        numpyro.sample("y", dist.Normal(mean, sigma), obs=y)


def sleepstudy(days, subject, y=None):
    """Reaction times over days without sleep, an intercept and a slope for each subject."""
    by_subject = correlated_effects("subject_effect", 18)[subject]
    mean = fixed_part(days[:, None]) + by_subject[:, 0] + by_subject[:, 1] * days
    normal_rows(mean, y, subject.shape[0])


def dyestuff(batch, y=None):
    """Yield of dye by batch."""
    normal_rows(fixed_part() + effects("batch_effect", 6)[batch], y, batch.shape[0])


def penicillin(plate, sample, y=None):
    """Diameters on crossed plates and samples."""
    mean = fixed_part() + effects("plate_effect", 24)[plate] + effects("sample_effect", 6)[sample]
    normal_rows(mean, y, plate.shape[0])


def pastes(batch, cask, y=None):
    """Strength of paste from casks within batches."""
    mean = fixed_part() + effects("batch_effect", 10)[batch] + effects("cask_effect", 30)[cask]
    normal_rows(mean, y, batch.shape[0])


def machines(x, worker, y=None):
    """Scores of workers on three machines."""
    normal_rows(fixed_part(x) + effects("worker_effect", 6)[worker], y, worker.shape[0])


def exam(intake, school, y=None):
    """Exam results given those at intake, an intercept and a slope for each school."""
    by_school = correlated_effects("school_effect", 65)[school]
    mean = fixed_part(intake[:, None]) + by_school[:, 0] + by_school[:, 1] * intake
    normal_rows(mean, y, school.shape[0])


def cbpp(x, size, herd, y=None):
    """Sick animals among those of a herd, over four periods."""
    logits = fixed_part(x) + effects("herd_effect", 15)[herd]
    with numpyro.plate("observations", herd.shape[0]):
        numpyro.sample("y", dist.Binomial(size, logits=logits), obs=y)


def contraception(x, district, y=None):
    """Use of contraception by district."""
    logits = fixed_part(x) + effects("district_effect", 60)[district]
    with numpyro.plate("observations", district.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)


def grouseticks(x, brood, location, y=None):
    """Ticks on chicks by brood and location."""
    log_rate = fixed_part(x) + effects("brood_effect", 118)[brood] + effects("location_effect", 63)[location]
    with numpyro.plate("observations", brood.shape[0]):
        numpyro.sample("y", dist.Poisson(jnp.exp(log_rate)), obs=y)


def verbagg(x, person, item, y=None):
    """Verbal aggression, persons by items."""
    logits = fixed_part(x) + effects("person_effect", 316)[person] + effects("item_effect", 24)[item]
    with numpyro.plate("observations", person.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        model: The model, effects centred.
        arguments: Frame -> the model's arguments.
        effects: Sites of the effects of its groups.
        formula: The usual formula.
        family: Of its response.
        categorical: Columns of numbers that the formula takes as factors.
    """

    model: Callable[..., None]
    arguments: Callable[[pl.DataFrame], Arrays]
    effects: tuple[str, ...]
    formula: str
    family: str = "normal"
    categorical: tuple[str, ...] = ()


def scored(column: pl.Series) -> np.ndarray:
    """Z-scores of a column."""
    values = column.to_numpy().astype(np.float64)
    return ((values - values.mean()) / values.std()).astype(np.float32)


def codes(column: pl.Series, levels: int) -> np.ndarray:
    """Codes from 0 of a factor's levels in sorted order."""
    found, coded = np.unique(column.to_numpy().astype(str), return_inverse=True)
    if len(found) != levels:
        raise ValueError(f"column '{column.name}' has {len(found)} levels; its model is written for {levels}")
    return coded.astype(np.int32)


def coded(column: pl.Series, levels: int) -> np.ndarray:
    """Zeros and ones for every level of a factor but the first, shape `(obs, levels - 1)`."""
    return np.eye(levels, dtype=np.float32)[codes(column, levels)][:, 1:]


def design(*columns: np.ndarray) -> np.ndarray:
    """Columns and blocks of columns side by side, shape `(obs, column)`."""
    return np.column_stack(columns).astype(np.float32)


def _sleepstudy(t: pl.DataFrame) -> Arrays:
    return {"days": scored(t["Days"]), "subject": codes(t["Subject"], 18), "y": scored(t["Reaction"])}


def _dyestuff(t: pl.DataFrame) -> Arrays:
    return {"batch": codes(t["Batch"], 6), "y": scored(t["Yield"])}


def _penicillin(t: pl.DataFrame) -> Arrays:
    return {"plate": codes(t["plate"], 24), "sample": codes(t["sample"], 6), "y": scored(t["diameter"])}


def _pastes(t: pl.DataFrame) -> Arrays:
    return {"batch": codes(t["batch"], 10), "cask": codes(t["sample"], 30), "y": scored(t["strength"])}


def _machines(t: pl.DataFrame) -> Arrays:
    return {"x": coded(t["Machine"], 3), "worker": codes(t["Worker"], 6), "y": scored(t["score"])}


def _exam(t: pl.DataFrame) -> Arrays:
    columns = {name: t[name].to_numpy().astype(np.float32) for name in ("standLRT", "normexam")}  # z-scored by origin
    return {"intake": columns["standLRT"], "school": codes(t["school"], 65), "y": columns["normexam"]}


def _cbpp(t: pl.DataFrame) -> Arrays:
    size, incidence = (t[name].to_numpy().astype(np.int32) for name in ("size", "incidence"))
    return {"x": coded(t["period"], 4), "size": size, "herd": codes(t["herd"], 15), "y": incidence}


def _contraception(t: pl.DataFrame) -> Arrays:
    x = design(scored(t["age"]), coded(t["urban"], 2), coded(t["livch"], 4))
    return {"x": x, "district": codes(t["district"], 60), "y": codes(t["use"], 2)}


def _grouseticks(t: pl.DataFrame) -> Arrays:
    x = design(coded(t["YEAR"], 3), scored(t["cHEIGHT"]))
    groups = {"brood": codes(t["BROOD"], 118), "location": codes(t["LOCATION"], 63)}
    return {"x": x, **groups, "y": t["TICKS"].to_numpy().astype(np.int32)}


def _verbagg(t: pl.DataFrame) -> Arrays:
    x = design(scored(t["Anger"]), coded(t["Gender"], 2), coded(t["btype"], 3), coded(t["situ"], 2))
    return {"x": x, "person": codes(t["id"], 316), "item": codes(t["item"], 24), "y": codes(t["r2"], 2)}


TABLES = {
    "Dyestuff": Table(dyestuff, _dyestuff, ("batch_effect",), "Yield ~ 1 + (1 | Batch)"),
    "Machines": Table(machines, _machines, ("worker_effect",), "score ~ Machine + (1 | Worker)"),
    "Pastes": Table(pastes, _pastes, ("batch_effect", "cask_effect"), "strength ~ 1 + (1 | batch/cask)"),
    "cbpp": Table(
        cbpp,
        _cbpp,
        ("herd_effect",),
        "cbind(incidence, size - incidence) ~ period + (1 | herd)",
        "binomial",
        ("period",),
    ),
    "Penicillin": Table(
        penicillin, _penicillin, ("plate_effect", "sample_effect"), "diameter ~ 1 + (1 | plate) + (1 | sample)"
    ),
    "sleepstudy": Table(sleepstudy, _sleepstudy, ("subject_effect",), "Reaction ~ Days + (Days | Subject)"),
    "grouseticks": Table(
        grouseticks,
        _grouseticks,
        ("brood_effect", "location_effect"),
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)",
        "poisson",
        ("YEAR",),
    ),
    "Contraception": Table(
        contraception,
        _contraception,
        ("district_effect",),
        "use ~ age + urban + livch + (1 | district)",
        "bernoulli",
    ),
    "Exam": Table(exam, _exam, ("school_effect",), "normexam ~ standLRT + (standLRT | school)"),
    "VerbAgg": Table(
        verbagg,
        _verbagg,
        ("person_effect", "item_effect"),
        "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        "bernoulli",
    ),
}


def path_of(folder: Path, name: str) -> Path:
    """Where a table lies."""
    path = folder / f"{name}.csv"
    return path if path.exists() else path.with_suffix(".csv.gz")


def read_table(folder: Path, name: str) -> Arrays:
    """The model's arguments of one table."""
    return TABLES[name].arguments(pl.read_csv(path_of(folder, name)))
