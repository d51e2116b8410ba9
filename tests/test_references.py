"""The models of `benchmarks/posteriordb.py` and `benchmarks/sbibm.py` are the published ones, to the last prior.

Their log densities, in double precision, against SciPy's; skipped where the data are not there.
"""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import special, stats

normal = stats.norm.logpdf


def benchmark(name):
    """One file of `benchmarks/`, which is on no path: its `informed.py` would hide `tests/informed`."""
    path = Path(__file__).parent.parent / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


models, references = benchmark("posteriordb_models"), benchmark("references")
FLAT, POSTERIORS = models.FLAT, models.POSTERIORS
folder, MissingDataError = references.folder, references.MissingDataError
load_task = benchmark("sbibm_models").load_task


def kidscore_momhsiq(p, d):
    mean = p["beta"][0] + p["beta"][1] * np.array(d["mom_hs"]) + p["beta"][2] * np.array(d["mom_iq"])
    return stats.cauchy.logpdf(p["sigma"], 0, 2.5) + normal(d["kid_score"], mean, p["sigma"]).sum()


def logearn_height_male(p, d):
    mean = p["beta"][0] + p["beta"][1] * np.array(d["height"]) + p["beta"][2] * np.array(d["male"])
    return normal(np.log(d["earn"]), mean, p["sigma"]).sum()


def logmesquite_logvolume(p, d):
    volume = np.array(d["diam1"]) * np.array(d["diam2"]) * np.array(d["canopy_height"])
    return normal(np.log(d["weight"]), p["beta"][0] + p["beta"][1] * np.log(volume), p["sigma"]).sum()


def blr(p, d):
    likelihood = normal(d["y"], np.array(d["X"]) @ p["beta"], p["sigma"]).sum()
    return normal(p["beta"], 0, 10).sum() + normal(p["sigma"], 0, 10) + likelihood


def wells_dist(p, d):
    chance = special.expit(p["beta"][0] + p["beta"][1] * np.array(d["dist"]))
    return stats.bernoulli.logpmf(d["switched"], chance).sum()


def glm_poisson(p, d):
    year = np.array(d["year"])
    log_rate = p["alpha"] + p["beta1"] * year + p["beta2"] * year**2 + p["beta3"] * year**3
    return stats.poisson.logpmf(d["C"], np.exp(log_rate)).sum()


def low_dim_gauss_mix(p, d):
    prior = normal(p["mu"], 0, 2).sum() + normal(p["sigma"], 0, 2).sum() + stats.beta.logpdf(p["theta"], 5, 5)
    first = np.log(p["theta"]) + normal(d["y"], p["mu"][0], p["sigma"][0])
    second = np.log1p(-p["theta"]) + normal(d["y"], p["mu"][1], p["sigma"][1])
    return prior + np.logaddexp(first, second).sum()


def eight_schools(p, d):
    prior = stats.cauchy.logpdf(p["tau"], 0, 5) + normal(p["mu"], 0, 5) + normal(p["theta"], p["mu"], p["tau"]).sum()
    return prior + normal(d["y"], p["theta"], d["sigma"]).sum()


def radon(p, d):
    county = np.array(d["county_idx"]) - 1
    mean = p["alpha"][county] + np.array(d["log_uppm"]) * p["beta"][0] + np.array(d["floor_measure"]) * p["beta"][1]
    prior = normal(p["sigma_alpha"], 0, 1) + normal(p["sigma_y"], 0, 1) + normal(p["mu_alpha"], 0, 10)
    prior += normal(p["beta"], 0, 10).sum() + normal(p["alpha"], p["mu_alpha"], p["sigma_alpha"]).sum()
    return prior + normal(d["log_radon"], mean, p["sigma_y"]).sum()


PROGRAMS = {
    "kidiq-kidscore_momhsiq": kidscore_momhsiq,
    "earnings-logearn_height_male": logearn_height_male,
    "mesquite-logmesquite_logvolume": logmesquite_logvolume,
    "sblri-blr": blr,
    "wells_data-wells_dist": wells_dist,
    "GLM_Poisson_Data-GLM_Poisson_model": glm_poisson,
    "low_dim_gauss_mix-low_dim_gauss_mix": low_dim_gauss_mix,
    "eight_schools-eight_schools_centered": eight_schools,
    "eight_schools-eight_schools_noncentered": eight_schools,
    "radon_mn-radon_hierarchical_intercept_centered": radon,
    "radon_mn-radon_hierarchical_intercept_noncentered": radon,
}
DEVIATIONS = {
    "eight_schools-eight_schools_noncentered": ("theta_trans", "mu", "tau", "theta"),
    "radon_mn-radon_hierarchical_intercept_noncentered": ("alpha_raw", "mu_alpha", "sigma_alpha", "alpha"),
}
POSITIVE = ("sigma", "tau", "sigma_alpha", "sigma_y")


def data_of(collection):
    try:
        return folder(collection)
    except MissingDataError as error:
        pytest.skip(str(error))


def reference_draws(path):
    """Stan's parameters as arrays, draws first."""
    stored = np.load(path / "draws.npz")
    sites: dict[str, list[np.ndarray]] = {}
    for name in stored.files:
        sites.setdefault(name.split("[")[0], []).append(stored[name])
    return {
        site: np.stack(columns, axis=1) if f"{site}[1]" in stored.files else columns[0]
        for site, columns in sites.items()
    }


def points(draws, rng):
    """Some draws of the reference, and others far away, where priors count."""
    number = len(next(iter(draws.values())))
    chosen = [{site: values[i] for site, values in draws.items()} for i in rng.choice(number, 4)]
    for point in list(chosen):
        far = {}
        for site, value in point.items():
            noise = rng.normal(size=np.shape(value))
            if site in POSITIVE:
                far[site] = value * np.exp(noise)
            elif np.all((draws[site] > 0.0) & (draws[site] < 1.0)) and site == "theta":
                far[site] = special.expit(special.logit(value) + noise)
            else:
                far[site] = value + 10.0 * noise * draws[site].std(axis=0)
        chosen.append({**far, "mu": np.sort(far["mu"])} if np.ndim(far.get("mu", 0.0)) else far)
    return chosen


def test_every_posterior_has_a_model():
    path = data_of("posteriordb")
    names = {entry["name"] for entry in json.loads((path / "index.json").read_text())}
    assert names == {posterior.folder or name for name, posterior in POSTERIORS.items()}
    assert set(POSTERIORS) == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_model_is_the_stan_program(name):
    posterior = POSTERIORS[name]
    path = data_of("posteriordb") / (posterior.folder or name)
    data = json.loads((path / "data.json").read_text())
    ours, theirs, stand_in = [], [], []
    for point in points(reference_draws(path), np.random.default_rng(0)):
        latents = dict(point)
        theirs.append(PROGRAMS[name](point, data))
        if name in DEVIATIONS:  # the reference speaks of groups' means; d mean / d deviation = spread
            deviation, mean, spread, group = DEVIATIONS[name]
            latents[deviation] = (latents[group] - latents[mean]) / latents[spread]
            theirs[-1] += len(latents.pop(group)) * np.log(point[spread])
        stand_in.append(sum(np.sum(np.square(point[site])) for site in posterior.flat) / (2.0 * FLAT**2))
        with jax.enable_x64(True):
            ours.append(float(log_density(posterior.model, (), posterior.arguments(data), latents)[0]))
    difference = np.array(ours) - np.array(theirs)
    assert np.all(np.isfinite(difference))
    allowed = 1e-9 * np.abs(theirs).max() + np.array(stand_in) + stand_in[0]
    assert np.all(np.abs(difference - difference[0]) <= allowed)


@pytest.mark.parametrize("name", [name for name, posterior in POSTERIORS.items() if posterior.flat])
def test_the_stand_in_for_a_flat_prior_moves_nothing(name):
    """N(0, s²) in place of a flat prior moves the means by -C m / s², C their covariance, and shrinks sds less."""
    draws = reference_draws(data_of("posteriordb") / name)
    columns = [np.reshape(values, (len(values), -1)) for values in draws.values()]
    is_flat = np.concatenate(
        [np.full(c.shape[1], site in POSTERIORS[name].flat) for site, c in zip(draws, columns, strict=True)]
    )
    whole = np.concatenate(columns, axis=1)
    covariance = np.cov(whole.T)
    moved = covariance @ np.where(is_flat, whole.mean(axis=0), 0.0) / FLAT**2
    assert np.max(np.abs(moved) / np.sqrt(np.diag(covariance))) < 1e-3
    assert np.max(np.diag(covariance)[is_flat]) / FLAT**2 < 1e-3


def double(arguments):
    return {name: np.asarray(a, np.float64 if a.dtype.kind == "f" else a.dtype) for name, a in arguments.items()}


@pytest.mark.parametrize("name", ["gaussian_linear", "bernoulli_glm"])
def test_model_is_the_sbibm_task(name, rng_key):
    path = data_of("sbibm") / name
    model, arguments = load_task(name, path)
    stored = np.load(path / "obs_01.npz")
    ours, theirs = [], []
    for theta in np.random.default_rng(0).normal(size=(5, 10)):
        with jax.enable_x64(True):
            ours.append(float(log_density(model, (), double(arguments(stored)), {"theta": theta})[0]))
        if name == "gaussian_linear":
            theirs.append(normal(theta, 0, np.sqrt(0.1)).sum() + normal(stored["observation"], theta, 0.1**0.5).sum())
        else:
            fixed = np.load(path / "design.npz")
            prior = stats.multivariate_normal(np.zeros(10), np.linalg.inv(fixed["prior_precision"].astype(float)))
            eta = fixed["design_matrix"].astype(float) @ theta
            likelihood = stored["observation"] @ theta - np.logaddexp(0.0, eta).sum()  # by the sufficient statistic
            theirs.append(prior.logpdf(theta) + likelihood)
    difference = np.array(ours) - np.array(theirs)
    assert np.abs(difference - difference[0]).max() < 1e-4  # the prior's factor and the statistic are in float32


@pytest.mark.parametrize("observation", [1, 2, 3])
def test_two_moons_has_the_reference_posterior(observation):
    """Moments by a grid against those of 10,000 draws: 5 standard errors, one false alarm in 200,000 for each of 15."""
    path = data_of("sbibm") / "two_moons"
    model, arguments = load_task("two_moons", path)
    stored = np.load(path / f"obs_{observation:02d}.npz")
    grid = (np.arange(1500) + 0.5) / 750.0 - 1.0
    theta = jnp.asarray(np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2), jnp.float32)
    given = {name: jnp.asarray(value) for name, value in arguments(stored).items()}
    log_joint = jax.jit(jax.vmap(lambda t: log_density(model, (), given, {"theta": t})[0]))(theta)
    weights = np.exp(np.asarray(log_joint, np.float64))
    weights /= weights.sum()
    drawn = stored["reference_posterior_samples"].astype(np.float64)
    for what in (
        lambda t: t[:, 0],
        lambda t: t[:, 1],
        lambda t: np.abs(t[:, 0] + t[:, 1]),
        lambda t: np.square(t[:, 0] - t[:, 1]),
        lambda t: radius(t, stored["observation"]),
    ):
        exact, seen = weights @ what(np.asarray(theta, np.float64)), what(drawn)
        assert abs(seen.mean() - exact) < 5.0 * seen.std() / np.sqrt(len(seen))


def radius(theta, x):
    along, across = np.abs(theta[:, 0] + theta[:, 1]) / np.sqrt(2), (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    return np.hypot(x[0] - 0.25 + along, x[1] - across)
