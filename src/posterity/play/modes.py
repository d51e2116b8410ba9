"""What the playground shows. A mode is one entry of `MODES`: a model, its sliders, and a picture of its draws.

A plain number is a part of a model: another value is another model, and compiled anew. So that sliders move at once,
they are columns of the data, with one value in all rows, and latents are drawn with scale 1 and multiplied where rows
meet them: the same posterior, in other units, which `natural` takes back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

__all__ = ["HIGHEST", "LOWEST", "MODES", "Mode", "Points", "Slider"]

Draws = Mapping[str, np.ndarray]
Settings = Mapping[str, float]
Mark = dict[str, Any]
LOWEST, HIGHEST = -3.0, 3.0
"""Ends of both axes of the picture."""
GRID = np.linspace(LOWEST, HIGHEST, 49)
NUM_GROUPS = 6
SIDE = 20
"""Cells along each axis of a map."""
LEVELS = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Points:
    """What lies in the picture.

    Attributes:
        x: Shape `(point,)`.
        y: Shape `(point,)`.
        kind: Class or group of each, from 0, shape `(point,)`.
    """

    x: np.ndarray
    y: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True)
class Slider:
    """A number that the user sets; the model takes it as an argument.

    Attributes:
        name: The argument.
        label: What it is.
        low: Smallest value; the scale is logarithmic.
        high: Largest value.
        value: At the start.
    """

    name: str
    label: str
    low: float
    high: float
    value: float


@dataclass(frozen=True)
class Mode:
    """One thing to play with.

    Attributes:
        title: Its name on the page.
        hint: What to try first.
        model: A NumPyro model; its arguments are those of `data` and the sliders.
        data: Points -> the model's arguments, the sliders' columns not among them.
        natural: Draws of the model's sites and values of the sliders -> draws of what `quantities` and `picture` see.
        quantities: Draws of the latents -> label -> draws of one number, shape `(draw,)`: the table of the page.
        picture: Draws of the latents and values of the sliders -> marks, in units of the axes.
        sliders: What the user sets besides.
        columns: What the columns of a table stand for: some of `x`, `y`, `class` and `group`.
        start: Points to begin with.
        kinds: Names of the classes or groups; one name where there are none.
        x_label: What runs along x.
        y_label: What runs along y; nothing if empty, and points cannot be moved along it.
    """

    title: str
    hint: str
    model: Callable[..., None]
    data: Callable[[Points], dict[str, np.ndarray]]
    quantities: Callable[[Draws], dict[str, np.ndarray]]
    picture: Callable[[Draws, Settings], list[Mark]]
    natural: Callable[[Draws, Settings], Draws]
    sliders: tuple[Slider, ...]
    columns: tuple[str, ...]
    start: Points
    kinds: tuple[str, ...] = ("point",)
    x_label: str = "x"
    y_label: str = "y"


# --- A line ---


def line_model(x, prior_scale, noise, y=None):
    """A line with noise of unknown size, which `noise` says the usual size of."""
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(prior_scale * (intercept + slope * x), noise * sigma), obs=y)


def _line_natural(draws: Draws, settings: Settings) -> Draws:
    scale = settings["prior_scale"]
    coefficients = {name: scale * draws[name] for name in ("intercept", "slope")}
    return coefficients | {"sigma": settings["noise"] * draws["sigma"]}


def _line_picture(draws: Draws, settings: Settings) -> list[Mark]:
    lines = draws["intercept"][::2, None] + draws["slope"][::2, None] * GRID  # half of the draws, (draw, grid)
    noise = np.random.default_rng(0).permutation(_normal_grid(len(lines)))  # the same for each picture: no flicker
    low, middle, high = np.quantile(lines, LEVELS, axis=0)
    new_low, _, new_high = np.quantile(lines + (draws["sigma"][::2] * noise)[:, None], LEVELS, axis=0)
    return [_band(GRID, new_low, new_high, "faint"), _band(GRID, low, high), _line(GRID, middle)]


def _normal_grid(number: int) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri((np.arange(number) + 0.5) / number)


# --- Two classes ---


def classes_model(x1, x2, prior_scale, y=None):
    """Logistic regression on a plane."""
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
    slopes = jnp.asarray(numpyro.sample("slopes", dist.Normal(0.0, 1.0).expand([2]).to_event(1)))
    with numpyro.plate("observations", x1.shape[0]):
        logits = prior_scale * (intercept + slopes[0] * x1 + slopes[1] * x2)
        numpyro.sample("y", dist.Bernoulli(logits=logits), obs=y)


def _all_scaled(draws: Draws, settings: Settings) -> Draws:
    return {name: settings["prior_scale"] * values for name, values in draws.items()}


def _classes_picture(draws: Draws, settings: Settings) -> list[Mark]:
    centres = LOWEST + (np.arange(SIDE) + 0.5) * (HIGHEST - LOWEST) / SIDE
    across, up = np.meshgrid(centres, centres)
    few = slice(None, None, max(1, len(draws["intercept"]) // 200))
    intercept, slopes = draws["intercept"][few], draws["slopes"][few]
    logits = intercept[:, None, None] + slopes[:, 0, None, None] * across + slopes[:, 1, None, None] * up
    chances = np.mean(1.0 / (1.0 + np.exp(-logits)), axis=0)
    marks: list[Mark] = [{"mark": "heat", "values": np.round(chances, 3).ravel().tolist(), "side": SIDE}]
    for a, (b, c) in zip(intercept[::5], slopes[::5], strict=True):
        if (ends := _where_zero(float(a), float(b), float(c))) is not None:
            marks.append(_line(*ends, "draw"))
    return marks


def _where_zero(a: float, b: float, c: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of the line a + b x + c y = 0, long enough to leave the picture; None where there is none."""
    size = b * b + c * c
    if size < 1e-12:
        return None
    foot, along = np.array([b, c]) * (-a / size), np.array([-c, b]) / np.sqrt(size) * 20.0
    return np.array([foot[0] - along[0], foot[0] + along[0]]), np.array([foot[1] - along[1], foot[1] + along[1]])


# --- A mixture ---


def mixture_model(prior_scale, noise, y):
    """Two normal components of known size, anywhere along a line."""
    share = numpyro.sample("share", dist.Dirichlet(jnp.ones(2)))
    means = jnp.asarray(numpyro.sample("means", dist.Normal(0.0, 1.0).expand([2]).to_event(1)))
    with numpyro.plate("observations", y.shape[0]):
        components = dist.Normal(prior_scale[:, None] * means, noise[:, None])
        numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(share), components), obs=y)


def _mixture_natural(draws: Draws, settings: Settings) -> Draws:
    return {"share": draws["share"], "means": settings["prior_scale"] * draws["means"]}


def _left_first(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Means and shares with the lower mean first: the model does not tell its components apart."""
    order = np.argsort(draws["means"], axis=-1)
    return np.take_along_axis(draws["means"], order, -1), np.take_along_axis(draws["share"], order, -1)


def _mixture_picture(draws: Draws, settings: Settings) -> list[Mark]:
    means, shares = _left_first(draws)
    parts = shares[..., None] * np.exp(
        -0.5 * ((GRID - means[..., None]) / settings["noise"]) ** 2
    )  # (draw, component, grid)
    low, middle, high = np.quantile(parts.sum(axis=1), LEVELS, axis=0)
    height = (HIGHEST - LOWEST) * 0.85 / max(float(high.max()), 1e-6)

    def up(values: np.ndarray) -> np.ndarray:
        return LOWEST + height * values

    left, right = parts.mean(axis=0)
    return [
        _band(GRID, up(low), up(high)),
        _line(GRID, up(middle)),
        _line(GRID, up(left), "part"),
        _line(GRID, up(right), "part"),
    ]


# --- Groups ---


def groups_model(group, prior_scale, noise, y=None):
    """Groups whose means come from one population."""
    population = numpyro.sample("population", dist.Normal(0.0, 3.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("groups", NUM_GROUPS):
        away = jnp.asarray(numpyro.sample("away", dist.Normal(0.0, spread)))
    with numpyro.plate("observations", group.shape[0]):
        numpyro.sample("y", dist.Normal(population + prior_scale * away[group], noise), obs=y)


def _groups_natural(draws: Draws, settings: Settings) -> Draws:
    scale = settings["prior_scale"]
    means = draws["population"][:, None] + scale * draws["away"]
    return {"population": draws["population"], "spread": scale * draws["spread"], "means": means}


def group_places() -> np.ndarray:
    """Where each group stands along x."""
    return (np.arange(NUM_GROUPS) + 0.5) / NUM_GROUPS * (HIGHEST - LOWEST) + LOWEST


def _groups_picture(draws: Draws, settings: Settings) -> list[Mark]:
    low, middle, high = np.quantile(draws["population"], LEVELS)
    ends = np.array([LOWEST, HIGHEST])
    lows, middles, highs = np.quantile(draws["means"], LEVELS, axis=0)
    return [
        _band(ends, np.full(2, low), np.full(2, high), "faint"),
        _line(ends, np.full(2, middle), "part"),
        {"mark": "upright", "x": _plain(group_places()), "low": _plain(lows), "high": _plain(highs)},
        {"mark": "dots", "x": _plain(group_places()), "y": _plain(middles)},
    ]


# --- Marks ---


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray, kind: str = "band") -> Mark:
    return {"mark": "band", "kind": kind, "x": _plain(x), "low": _plain(low), "high": _plain(high)}


def _line(x: np.ndarray, y: np.ndarray, kind: str = "line") -> Mark:
    return {"mark": "line", "kind": kind, "x": _plain(x), "y": _plain(y)}


def _plain(values: np.ndarray) -> list[float]:
    return np.round(values, 4).tolist()


def _points(x: ArrayLike, y: ArrayLike, kind: ArrayLike | None = None) -> Points:
    across = np.array(x)
    return Points(across, np.array(y), np.zeros(across.size, int) if kind is None else np.array(kind))


_GROUP = np.repeat(np.arange(NUM_GROUPS), [6, 5, 4, 3, 2, 1])
_RNG = np.random.default_rng(3)
_PRIOR = Slider("prior_scale", "prior sd of the coefficients", 0.05, 10.0, 2.0)

MODES: dict[str, Mode] = {
    "line": Mode(
        title="A line",
        hint="Drag one point far away and watch line, band and noise answer.",
        model=line_model,
        data=lambda at: {"x": at.x.astype(np.float32), "y": at.y.astype(np.float32)},
        quantities=lambda draws: {name: draws[name] for name in ("intercept", "slope", "sigma")},
        picture=_line_picture,
        natural=_line_natural,
        sliders=(_PRIOR, Slider("noise", "usual size of the noise", 0.05, 5.0, 1.0)),
        columns=("x", "y"),
        start=_points(
            [-2.4, -1.9, -1.5, -0.9, -0.4, 0.1, 0.6, 1.1, 1.7, 2.3],
            [-1.5, -0.7, -1.2, -0.1, -0.5, 0.4, 0.2, 1.1, 0.8, 1.7],
        ),
    ),
    "classes": Mode(
        title="Two classes",
        hint="Move a point across the border; with few points of one class the border is free to turn.",
        model=classes_model,
        data=lambda at: {
            "x1": at.x.astype(np.float32),
            "x2": at.y.astype(np.float32),
            "y": at.kind.astype(np.int32),
        },
        quantities=lambda draws: {
            "intercept": draws["intercept"],
            "slope along x": draws["slopes"][:, 0],
            "slope along y": draws["slopes"][:, 1],
        },
        picture=_classes_picture,
        natural=_all_scaled,
        sliders=(_PRIOR,),
        columns=("x", "y", "class"),
        start=_points(
            [-2.2, -1.6, -1.1, -0.7, -1.9, 0.3, 0.7, 1.2, 1.8, 2.2, -0.2, 0.9],
            [-0.6, 0.9, -1.4, 0.2, -1.8, 0.1, 1.6, -0.4, 0.9, 1.9, 1.4, -1.2],
            [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0],
        ),
        kinds=("circle", "square"),
    ),
    "mixture": Mode(
        title="A mixture",
        hint="Push the two heaps together until nobody can tell whether there are two.",
        model=mixture_model,
        data=lambda at: {"y": at.x.astype(np.float32)},
        quantities=lambda draws: {
            "lower mean": _left_first(draws)[0][:, 0],
            "upper mean": _left_first(draws)[0][:, 1],
            "share of the lower": _left_first(draws)[1][:, 0],
        },
        picture=_mixture_picture,
        natural=_mixture_natural,
        sliders=(
            Slider("prior_scale", "prior sd of the means", 0.2, 10.0, 2.0),
            Slider("noise", "sd within a component", 0.15, 2.0, 0.5),
        ),
        columns=("x",),
        start=_points(
            [-2.1, -1.7, -1.5, -1.2, -1.0, -1.6, 0.9, 1.2, 1.4, 1.6, 1.9, 2.3],
            [LOWEST + 0.2] * 12,
        ),
        y_label="",
    ),
    "groups": Mode(
        title="Groups",
        hint="Take points away from a group: its mean is drawn towards the others.",
        model=groups_model,
        data=lambda at: {"group": at.kind.astype(np.int32), "y": at.y.astype(np.float32)},
        quantities=lambda draws: {
            "population mean": draws["population"],
            "spread of the groups": draws["spread"],
            **{f"mean of group {name}": draws["means"][:, n] for n, name in enumerate("ABCDEF")},
        },
        picture=_groups_picture,
        natural=_groups_natural,
        sliders=(
            Slider("prior_scale", "usual spread of the groups", 0.05, 5.0, 1.0),
            Slider("noise", "sd within a group", 0.1, 3.0, 0.7),
        ),
        columns=("y", "group"),
        start=_points(
            group_places()[_GROUP] + np.tile([-0.2, 0.0, 0.2], 7),
            np.round(np.array([0.9, -0.6, 0.2, 1.3, -1.1, 2.2])[_GROUP] + 0.6 * _RNG.normal(size=21), 2),
            _GROUP,
        ),
        kinds=tuple("ABCDEF"),
        x_label="group",
    ),
}
