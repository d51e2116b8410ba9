"""The models of several scales and their datasets are sound, and NUTS samples the joint that is written."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density
from study_modules import script

cases, nuts, nested = (script(name) for name in ("nested_cases", "nuts", "nested"))


def latents_of(model, arguments):
    with handlers.seed(rng_seed=1), handlers.trace() as trace:
        model(**arguments)
    return {name: s["value"] for name, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}


@pytest.mark.bench
@pytest.mark.parametrize("name", cases.CASES)
def test_datasets_are_possible_and_differ_by_their_seed(name):
    case = cases.CASES[name]
    first, again, second = (case.simulate(seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["y"], second["y"])
    assert np.isfinite(log_density(case.model, (), first, latents_of(case.model, first))[0])


@pytest.mark.parametrize("name", ["normal_intercepts_8x8_centred", "slopes_centred"])
def test_effects_in_units_of_their_sds_are_the_same_joint(name):
    """Densities differ by the log-determinant of the map from one way of writing to the other, and by nothing else."""
    case = cases.CASES[name]
    data = case.simulate(0)
    other = nuts.non_centred(case.model, case.centred)
    base = latents_of(other, data)
    with handlers.seed(rng_seed=0), handlers.substitute(data=base), handlers.trace() as trace:
        other(**data)
    effects = trace["a"]["value"]
    kept = {site: value for site, value in base.items() if site != "a_base"}
    log_det = {
        "normal_intercepts_8x8_centred": lambda z: 8 * jnp.log(z["tau"]),
        "slopes_centred": lambda z: 18 * (jnp.log(z["sds"]).sum() + jnp.log(z["factor"][1, 1])),
    }[name](base)
    centred = log_density(case.model, (), data, {**kept, "a": effects})[0]
    np.testing.assert_allclose(log_density(other, (), data, base)[0], centred + log_det, rtol=1e-5)


def normal_mean(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", y.shape[0]):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def two_wells(y):
    """Chains stay in the well that they start in."""
    mu = numpyro.sample("mu", dist.Uniform(-20.0, 20.0))
    numpyro.sample("y", dist.Normal(mu**2, 0.1), obs=y)


def test_gates_pass_chains_that_agree_and_no_others():
    y = np.linspace(-1.0, 2.0, 9, dtype=np.float32)
    chains = nuts.to_gates([normal_mean], {"y": y}, seconds=60.0, steps=(300, 500))
    mean, sd = chains.moments["mu"]
    assert chains.passes and chains.gates["divergent"] == 0
    np.testing.assert_allclose(mean, y.sum() / 10, atol=5 * sd / np.sqrt(chains.bulk_ess))  # 1 false alarm in 10^6
    np.testing.assert_allclose(sd, 10**-0.5, rtol=0.15)
    apart = nuts.run_nuts(nuts.make_sampler(two_wells, 200, 200), {"y": np.float32(100.0)}, seed=3)
    assert not apart.passes and apart.r_hat > 1.5


def test_a_case_says_where_it_falls_short():
    case = cases.Case("a case", normal_mean, lambda seed: {}, (0.9, 0.7), 10.0)
    row = {"ess": {"median": 0.95, "q05": 0.8}, "milliseconds": 5.0}
    assert nested.shortfalls(case, row) == []
    assert len(nested.shortfalls(case, {"ess": {"median": 0.8, "q05": 0.6}, "milliseconds": 20.0})) == 3
    assert nested.shortfalls(case, {"failed": "no answer within 1 s"}) == ["failed"]


def test_the_share_of_effective_draws_is_that_of_plain_weights():
    class Answer:
        log_joint = np.log(np.array([1.0, 1.0, 2.0, 4.0]))
        log_q = np.zeros(4)

    assert nested.ess_share(Answer) == pytest.approx(64 / 22 / 4)
    Answer.log_joint = np.array([0.0, np.nan, 0.0, 0.0])
    assert nested.ess_share(Answer) == 0.0
