"""Cases of `nested.py`: a model, datasets from its own prior, and what is to be reached."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
from jax import random
from nested_models import (
    autoregression,
    autoregression_on_lags,
    beta,
    cauchit,
    correlated_slopes,
    crossed,
    garch,
    garch_bounded,
    latent_process,
    local_level,
    local_level_centred,
    log_normal,
    logistic_intercepts,
    marginal_process,
    meta_analysis,
    meta_analysis_in_one_plate,
    multinomial,
    normal_intercepts,
    one_parameter_items,
    ordinal,
    poisson_intercepts,
    quantile,
    softmax,
    student_t,
    uneven_noise,
    von_mises,
    weibull,
    zero_inflated,
    zero_inflated_twice,
)
from numpyro import handlers
from nuts import plain

__all__ = ["CASES", "Case"]

Arrays = dict[str, np.ndarray]
Covariates = Callable[[np.random.Generator], Arrays]
Model = Callable[..., None]

KEPT = 0.99, 0.9
"""What was reached before, median and 5% quantile, may fall by no more than these factors."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A model with what makes its datasets.

    Attributes:
        title: In words.
        model: The model.
        simulate: Seed -> the model's arguments, from its prior.
        ess: Share of 1000 draws that is to be effective, median and 5% quantile over datasets; NaN where none is set.
        milliseconds: Most per dataset in a batch; NaN where none is set.
        centred: Sites that NUTS had better draw in units of their sd.
    """

    title: str
    model: Model
    simulate: Callable[[int], Arrays]
    ess: tuple[float, float] = (float("nan"), float("nan"))
    milliseconds: float = float("nan")
    centred: tuple[str, ...] = ()


def prior_trace(model: Model, seed: int, arguments: Arrays) -> Arrays:
    """Site -> a draw of the model's joint, whole numbers as such."""
    with handlers.seed(rng_seed=random.key(seed)), handlers.trace() as trace:
        model(**arguments)
    sites = {name: site for name, site in trace.items() if site["type"] == "sample"}
    draws = {name: np.asarray(site["value"]) for name, site in sites.items()}
    return {
        name: draws[name].astype(np.int32) if s["fn"].support.is_discrete else draws[name] for name, s in sites.items()
    }


def from_prior(model: Model, covariates: Covariates) -> Callable[[int], Arrays]:
    """Simulates `y` by the model itself, given covariates."""

    def simulate(seed: int) -> Arrays:
        arguments = {name: plain(values) for name, values in covariates(np.random.default_rng(seed)).items()}
        return {**arguments, "y": plain(prior_trace(model, seed, arguments)["y"])}

    return simulate


def rows(num_rows: int, num_columns: int) -> Covariates:
    """Columns from N(0, 1)."""
    return lambda rng: {"x": rng.normal(size=(num_rows, num_columns))}


def grouped(num_groups: int, size: int, num_columns: int | None = 3) -> Covariates:
    """Groups of one size, with columns from N(0, 1); one number a row where no columns are asked for."""
    shape = (num_groups * size,) if num_columns is None else (num_groups * size, num_columns)
    group = np.repeat(np.arange(num_groups), size)
    return lambda rng: {"x": rng.normal(size=shape), "group": group}


def cells(first: str, second: str, sizes: tuple[int, int]) -> Covariates:
    """One row for each pair of levels."""
    a, b = (np.ravel(codes) for codes in np.indices(sizes))
    return lambda _: {first: a, second: b}


def survival(model: Model, num_rows: int, num_columns: int) -> Callable[[int], Arrays]:
    """Times from the prior, the last third of them cut off."""

    def simulate(seed: int) -> Arrays:
        x = np.random.default_rng(seed).normal(size=(num_rows, num_columns))
        arguments = {"x": plain(x), "censored": np.zeros(num_rows, np.int32)}
        time = prior_trace(model, seed, arguments)["y"]
        end = np.quantile(time, 0.67)
        return {"x": plain(x), "censored": plain(time > end), "y": plain(np.minimum(time, end))}

    return simulate


def from_trace(
    model: Model, make: Callable[[Arrays, np.random.Generator], np.ndarray], num_steps: int
) -> Callable[[int], Arrays]:
    """Simulates a series step by step, by latents from the prior of a model that is given the series."""

    def simulate(seed: int) -> Arrays:
        latents = prior_trace(model, seed, {"y": np.zeros(num_steps, np.float32)})
        return {"y": plain(make(latents, np.random.default_rng(seed)))}

    return simulate


def autoregressive(z: Arrays, rng: np.random.Generator, num_steps: int = 100) -> np.ndarray:
    """AR(2) from a start at 0; the first ten values are dropped."""
    y = np.zeros(num_steps + 12)
    for t in range(2, len(y)):
        y[t] = z["c"] + z["phi"][0] * y[t - 1] + z["phi"][1] * y[t - 2] + z["sigma"] * rng.normal()
    return y[12:]


def stationary(simulate: Callable[[int], Arrays]) -> Callable[[int], Arrays]:
    """The first series, of further seeds, that does not run away."""

    def settled(seed: int) -> Arrays:
        for attempt in range(1000):
            found = simulate(seed + 100_000 * attempt)
            if np.isfinite(found["y"]).all() and np.abs(found["y"]).max() < 50.0:
                return found
        raise RuntimeError(f"no series from seed {seed} stays below 50")

    return settled


def inside(simulate: Callable[[int], Arrays]) -> Callable[[int], Arrays]:
    """Shares that 32-bit numbers rounded to 0 or 1 are moved inside."""

    def clipped(seed: int) -> Arrays:
        found = simulate(seed)
        return {**found, "y": np.clip(found["y"], np.float32(1e-4), np.float32(1.0 - 1e-4))}

    return clipped


def lagged(simulate: Callable[[int], Arrays]) -> Callable[[int], Arrays]:
    """Every value but the first two with the two before it."""

    def with_lags(seed: int) -> Arrays:
        y = simulate(seed)["y"]
        return {"lags": np.stack([y[1:-1], y[:-2]], axis=1), "y": y[2:]}

    return with_lags


def heteroscedastic(z: Arrays, rng: np.random.Generator, num_steps: int = 200) -> np.ndarray:
    """GARCH(1,1) from its long-run variance."""
    news = z["alpha1"] if "alpha1" in z else z["persistence"] * z["news"]
    kept = z["beta1"] if "beta1" in z else z["persistence"] * (1.0 - z["news"])
    y, variance = np.zeros(num_steps), z["alpha0"] / (1.0 - news - kept)
    for t in range(num_steps):
        y[t] = z["mu"] + np.sqrt(variance) * rng.normal()
        variance = z["alpha0"] + news * (y[t] - z["mu"]) ** 2 + kept * variance
    return y


def level(z: Arrays, rng: np.random.Generator, num_steps: int = 50) -> np.ndarray:
    """A walk with noise, non-centred."""
    walk = np.concatenate([[0.0], z["step"] * np.cumsum(z["raw"])])
    return z["start"] + walk + z["sigma"] * rng.normal(size=num_steps)


def intercepts(
    title: str, model: Model, sizes: tuple[int, int], ess: tuple[float, float], milliseconds: float
) -> dict[str, Case]:
    """Random intercepts of one size, centred and non-centred."""
    name = f"{title.lower()}_intercepts_{sizes[0]}x{sizes[1]}"
    found = {}
    for centred in (True, False):
        bound = partial(model, num_groups=sizes[0], centred=centred)
        way = "centred" if centred else "non-centred"
        text = f"{title} random intercepts, {sizes[0]} x {sizes[1]}, {way}"
        simulate = from_prior(partial(model, num_groups=sizes[0], centred=True), grouped(*sizes))
        found[f"{name}_{way.replace('-', '')}"] = Case(
            text, bound, simulate, ess, milliseconds, ("a",) if centred else ()
        )
    return found


def regression(title: str, model: Model, ess: tuple[float, float], sizes: tuple[int, int] = (64, 5)) -> Case:
    """A regression with covariates from N(0, 1)."""
    return Case(f"{title} ({sizes[0]}, {sizes[1]})", model, from_prior(model, rows(*sizes)), ess, 15.0)


def kept(
    title: str, model: Model, before: tuple[float, float], simulate: Callable[[int], Arrays] | None = None
) -> Case:
    """A regression that was near-exact on the same 50 datasets before scales were nested, and is to stay so."""
    simulate = simulate or from_prior(model, rows(64, 5))
    target = before[0] * KEPT[0], before[1] * KEPT[1]
    return Case(f"{title} (64, 5), to be kept", model, simulate, target)


NORMAL, DISCRETE, HARD = (0.95, 0.85), (0.9, 0.75), (0.9, 0.7)

_slopes, _slopes_raw = (partial(correlated_slopes, num_groups=18, centred=centred) for centred in (True, False))
_slopes_data = from_prior(_slopes, grouped(18, 10, None))
_two, _three = partial(crossed, sizes=(12, 10), noise=0.7), partial(crossed, sizes=(12, 10))
_three_raw = partial(crossed, sizes=(12, 10), centred=False)
_items, _meta = partial(one_parameter_items, sizes=(50, 20)), partial(meta_analysis, num_studies=12)
_series = stationary(from_trace(autoregression, autoregressive, 100))
_volatile, _bounded = (stationary(from_trace(model, heteroscedastic, 200)) for model in (garch, garch_bounded))
_levels = from_trace(local_level, level, 50)


def _cells(model: Model, *names: str, sizes: tuple[int, int] = (12, 10)) -> Callable[[int], Arrays]:
    return from_prior(model, cells(names[0], names[1], sizes))


def _studies(rng: np.random.Generator) -> Arrays:
    return {"study": np.arange(12), "se": rng.uniform(0.1, 0.5, 12)}


def _errors(rng: np.random.Generator) -> Arrays:
    return {"se": rng.uniform(0.1, 0.5, 12)}


def _points(rng: np.random.Generator) -> Arrays:
    return {"x": np.sort(rng.uniform(0.0, 5.0, 40))}


_process = from_prior(marginal_process, _points)

CASES: dict[str, Case] = {
    **intercepts("Normal", normal_intercepts, (8, 8), NORMAL, 10.0),
    **intercepts("Normal", normal_intercepts, (30, 10), NORMAL, 20.0),
    "slopes_centred": Case("random slopes, LKJ(2), 18 x 10, centred", _slopes, _slopes_data, (0.85, 0.6), 40.0, ("a",)),
    "slopes_noncentred": Case(
        "random slopes, LKJ(2), 18 x 10, non-centred", _slopes_raw, _slopes_data, (0.85, 0.6), 40.0
    ),
    "crossed_two": Case(
        "crossed 12 x 10, two scales, noise known", _two, _cells(_two, "row", "column"), NORMAL, 30.0, ("a", "b")
    ),
    "crossed_three": Case(
        "crossed 12 x 10, three scales", _three, _cells(_three, "row", "column"), NORMAL, 30.0, ("a", "b")
    ),
    "crossed_three_noncentred": Case(
        "crossed 12 x 10, three scales, non-centred", _three_raw, _cells(_three, "row", "column"), NORMAL, 30.0
    ),
    **intercepts("Logistic", logistic_intercepts, (12, 8), DISCRETE, 40.0),
    **intercepts("Logistic", logistic_intercepts, (30, 10), DISCRETE, 40.0),
    **intercepts("Poisson", poisson_intercepts, (12, 8), DISCRETE, 40.0),
    **intercepts("Poisson", poisson_intercepts, (30, 10), DISCRETE, 40.0),
    "uneven_noise": regression("uneven noise", uneven_noise, NORMAL),
    "student_t": regression("Student-t, df unknown", student_t, NORMAL),
    "ordinal": regression("ordinal, cutpoints free", ordinal, NORMAL),
    "softmax": regression("softmax, 3 classes", softmax, NORMAL, (64, 4)),
    "quantile": regression("quantile, asymmetric Laplace", quantile, (0.85, 0.6)),
    "weibull": kept("Weibull, censored", weibull, (0.998, 0.997), survival(weibull, 64, 5)),
    "log_normal": kept("log-normal, censored", log_normal, (0.999, 0.999), survival(log_normal, 64, 5)),
    "zero_inflated": kept("zero-inflated Poisson", zero_inflated, (0.992, 0.964)),
    "zero_inflated_twice": regression("zero-inflated Poisson, two predictors", zero_inflated_twice, NORMAL),
    "multinomial": kept("multinomial", multinomial, (0.975, 0.968)),
    "cauchit": kept("cauchit", cauchit, (0.932, 0.738)),
    "von_mises": kept("von Mises", von_mises, (0.991, 0.622)),
    "beta": kept("beta", beta, (0.999, 0.999), inside(from_prior(beta, rows(64, 5)))),
    "item_response": Case(
        "item response, 50 persons x 20 items, 1PL",
        _items,
        _cells(_items, "person", "item", sizes=(50, 20)),
        HARD,
        60.0,
        ("ability", "difficulty"),
    ),
    "meta_analysis": Case("meta-analysis, 12 studies, non-centred", _meta, from_prior(_meta, _studies), HARD, 5.0),
    "meta_analysis_in_one_plate": Case(
        "meta-analysis, 12 studies, effects and rows in one plate",
        meta_analysis_in_one_plate,
        from_prior(meta_analysis_in_one_plate, _errors),
        HARD,
        5.0,
    ),
    "process_marginal": Case("Gaussian process, 40 points, marginal", marginal_process, _process, HARD, 30.0),
    "process_latent": Case("Gaussian process, 40 points, latent values", latent_process, _process, HARD, 30.0),
    "ar2": Case("AR(2), sliced inside, 100 steps", autoregression, _series, HARD, 30.0),
    "ar2_on_lags": Case("AR(2), lags as arguments", autoregression_on_lags, lagged(_series), HARD, 30.0),
    "garch": Case("GARCH(1,1), 200 steps", garch, _volatile, HARD, 30.0),
    "garch_bounded": Case("GARCH(1,1), a bound by another latent", garch_bounded, _bounded, HARD, 30.0),
    "local_level": Case("local level, 50 steps, non-centred", local_level, _levels, HARD, 30.0),
    "local_level_centred": Case("local level, 50 steps, centred", local_level_centred, _levels, HARD, 30.0),
}
