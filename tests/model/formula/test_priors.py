"""Priors as text: read as a name and numbers, and never evaluated."""

import numpyro.distributions as dist
import pytest

from posterity.model.formula import RESPONSE_FAMILIES, EffectsLayout, Layout, priors_of
from posterity.model.formula.priors import DISTRIBUTIONS, parse_prior
from posterity.runtime.errors import InputError

SLOPES_BY_GROUP = Layout(
    ("y ~ x + w",),
    ("x", "w"),
    True,
    (EffectsLayout("g", "g", "z_g", ("Intercept", "x"), 3), EffectsLayout("h", "h", None, ("Intercept",), 3)),
)


@pytest.mark.parametrize(
    ("text", "support", "source"),
    [
        ("Normal(0, 2.5)", "real", "dist.Normal(0.0, 2.5)"),
        ("Normal(scale=2, loc=-1)", "real", "dist.Normal(-1.0, 2.0)"),
        ("Normal()", "real", "dist.Normal(0.0, 1.0)"),
        ("StudentT(3, 0, 2.5)", "real", "dist.StudentT(3.0, 0.0, 2.5)"),
        (" Exponential( 1e-1 ) ", "positive", "dist.Exponential(0.1)"),
        ("Gamma(2, rate=0.1)", "positive", "dist.Gamma(2.0, 0.1)"),
        ("LKJ(4)", "correlation", "dist.LKJCholesky(4.0)"),
    ],
)
def test_names_and_numbers_are_read(text, support, source):
    assert parse_prior("b", text, support).source == source


@pytest.mark.parametrize(("support", "name"), [(s, n) for s, names in DISTRIBUTIONS.items() for n in names])
def test_every_distribution_can_be_written(support, name):
    known = {"StudentT": "(3)", "Gamma": "(2)", "InverseGamma": "(2)", "Weibull": "(1, 2)"}
    prior = parse_prior("b", f"{name}{known.get(name, '()')}", support)
    assert prior.name == name
    if name != "LKJCholesky":  # it has a dimension besides
        assert isinstance(eval(prior.source, {"dist": dist}), getattr(dist, name))


@pytest.mark.parametrize(
    ("text", "support", "message"),
    [
        ("HalfNormal(1)", "real", "unknown distribution for the prior of 'b' 'HalfNormal'"),
        ("Normal(0, 1)", "positive", "unknown distribution for the prior of 'b' 'Normal'.* 'HalfNormal'"),
        ("Norml(0, 1)", "real", "Did you mean 'Normal'"),
        ("Normal(0, -1)", "real", "its 'scale' cannot be -1"),
        ("Normal(0, 1, 2)", "real", "it takes loc, scale; got 3 numbers"),
        ("Normal(0, loc=1)", "real", "each once; got 'loc=1'"),
        ("Normal(0, sd=1)", "real", "it takes loc, scale"),
        ("Gamma()", "positive", "its 'concentration' is missing"),
        ("Normal(0, 1e999)", "real", "expected finite numbers"),
        ("Normal(0, x)", "real", "expected finite numbers in the brackets; got 'x'"),
        ("Normal(0, __import__('os').getpid())", "real", "expected finite numbers"),
        ("Normal(0, True)", "real", "expected finite numbers"),
        ("__import__('os').system('true')", "real", "expected a distribution with numbers, such as"),
        ("dist.Normal(0, 1)", "real", "expected a distribution with numbers, such as 'Normal"),
        ("Normal", "real", r"expected a distribution with numbers, such as 'Normal\(0, 2.5\)'"),
        ("Normal(0, 1", "real", "expected a distribution with numbers"),
    ],
)
def test_anything_else_is_refused(text, support, message):
    with pytest.raises(InputError, match=message):
        parse_prior("b", text, support)


def test_keys_stand_for_one_latent_or_for_all_of_a_kind():
    given = {"sd": "HalfCauchy(2)", "sd_h": "Exponential(1)", "cor": "LKJ(5)", "sigma": "HalfNormal(3)"}
    found = priors_of(SLOPES_BY_GROUP, RESPONSE_FAMILIES["normal"], given)
    assert {latent: prior.source for latent, prior in found.items()} == {
        "Intercept": "dist.Normal(0.0, 2.5)",
        "b": "dist.Normal(0.0, 2.5)",
        "sd_g": "dist.HalfCauchy(2.0)",
        "cor_g": "dist.LKJCholesky(5.0)",
        "sd_h": "dist.Exponential(1.0)",
        "sigma": "dist.HalfNormal(3.0)",
    }
    with pytest.raises(InputError, match=r"no latent 'sd_k' in this formula; it has Intercept, .* Did you mean 'sd_"):
        priors_of(SLOPES_BY_GROUP, RESPONSE_FAMILIES["normal"], {"sd_k": "HalfNormal(1)"})
    with pytest.raises(InputError, match="no latent 'sigma'"):
        priors_of(SLOPES_BY_GROUP, RESPONSE_FAMILIES["poisson"], {"sigma": "HalfNormal(1)"})


def test_one_entry_may_have_numbers_of_its_own():
    given = {"b[w]": "Normal(0, 1)", "sd": "HalfNormal(3)", "sd_g[x]": "HalfNormal(0.5)"}
    found = priors_of(SLOPES_BY_GROUP, RESPONSE_FAMILIES["normal"], given)
    assert found["b"].source == "dist.Normal(0.0, jnp.array([2.5, 1.0]))"
    assert found["sd_g"].source == "dist.HalfNormal(jnp.array([3.0, 0.5]))"
    assert found["sd_h"].source == "dist.HalfNormal(3.0)"
    with pytest.raises(InputError, match=r"entries of 'b' share one distribution.*got Normal, StudentT"):
        priors_of(SLOPES_BY_GROUP, RESPONSE_FAMILIES["normal"], {"b[w]": "StudentT(3)"})
    with pytest.raises(InputError, match=r"no latent 'b\[v\]'"):
        priors_of(SLOPES_BY_GROUP, RESPONSE_FAMILIES["normal"], {"b[v]": "Normal(0, 1)"})
