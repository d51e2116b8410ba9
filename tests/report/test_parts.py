"""Densities, ticks, panels: what the figures are drawn from."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose

from posterity.report.density import density, padded_range, shared_range
from posterity.report.latent import Latent
from posterity.report.marginals import marginal_panels, pair_panels
from posterity.report.svg import Panel, tick_text, ticks


@pytest.mark.parametrize(
    ("law", "low", "high", "inner"),
    [
        (scipy.stats.norm(), -3.5, 3.5, (-1.5, 1.5)),
        (scipy.stats.halfnorm(), -0.5, 3.0, (0.02, 2.0)),  # a bound at zero stays sharp
        (scipy.stats.norm(0.0, 5.0), -1.0, 1.0, (-0.95, 0.95)),  # cut, far from its ends
    ],
    ids=["normal", "bounded", "cut"],
)
def test_density_is_that_of_the_draws(law, low, high, inner):
    """From 20,000 draws an estimate errs by a few percent where density is high."""
    grid, heights = density(law.rvs(20_000, random_state=0), low, high)
    inside = (grid > inner[0]) & (grid < inner[1])
    assert_allclose(heights[inside], law.pdf(grid[inside]), rtol=0.12, atol=0.01)
    assert np.trapezoid(heights, grid) == pytest.approx(law.cdf(high) - law.cdf(low), rel=0.05)
    if law.pdf(low) == 0.0:
        assert np.all(heights[grid < -0.01] == 0.0)


def test_a_density_runs_out_unless_the_support_ends():
    """Draws of a half-normal are many near their smallest one: an end if the support says so, else a steep slope."""
    values = scipy.stats.halfnorm().rvs(1000, random_state=1) + 4.0
    grid, heights = density(values, 2.0, 10.0, (-np.inf, np.inf))
    assert heights[grid < values.min()].any() and heights[0] == heights[-1] == 0.0
    steps = np.abs(np.diff(heights))
    assert steps.max() < 0.5 * heights.max()  # a cut would be a step of the whole height
    low, high = shared_range(values, np.zeros(0), support=(4.0, np.inf))
    grid, heights = density(values, low, high, (4.0, np.inf))
    assert 3.9 < low < 4.0 and not heights[grid < 4.0].any()
    assert heights[grid > 4.0][:5] == pytest.approx(0.8, abs=0.15)  # sqrt(2 / pi); 1000 draws, kernel and all


def test_what_has_no_density_gets_none():
    for values in (np.ones(100), np.arange(10.0), np.linspace(5.0, 6.0, 100)):
        assert not density(values, 0.5, 2.0)[1].any()


def test_ranges_leave_outliers_and_distant_priors_out():
    rng = np.random.default_rng(0)
    low, high = padded_range(np.r_[rng.normal(size=1000), 1e6])
    assert -5 < low < -2.5 and 2.5 < high < 5
    assert padded_range(np.full(5, 3.0))[0] < 3.0 < padded_range(np.full(5, 3.0))[1]
    posterior = rng.normal(0.0, 1.0, 2000)
    assert shared_range(posterior, rng.normal(0.0, 1.0, 2000)) == padded_range(posterior)
    wide = shared_range(posterior, rng.normal(0.0, 1e4, 2000))
    assert wide[1] - wide[0] == pytest.approx(8.0 * np.subtract(*padded_range(posterior)[::-1]))


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (0.00031, 0.00032), (3.0, 4.1e7), (-12.0, -11.2), (99.0, 1012.0)])
@pytest.mark.parametrize("most", [4, 5])
def test_ticks_are_round_distinct_and_inside(ends, most):
    found = ticks(*ends, most=most)
    assert 2 <= len(found) <= most or most == 4
    assert len(found) >= 1 and all(ends[0] <= value <= ends[1] for value in found)
    assert len({tick_text(value, found) for value in found}) == len(found)


def test_a_panel_puts_data_where_they_belong():
    panel = Panel((0.0, 10.0), (0.0, 1.0), x_label="a < b", description='"x" & y')
    panel.dots(np.array([0.0, 5.0, 10.0]), np.array([0.0, 0.5, 1.0]), "dot")
    tree = ElementTree.fromstring(str(panel))  # escaped, or it would not parse
    assert tree.find("title").text == '"x" & y' and tree.get("role") == "img"
    xs, ys = ([float(dot.get(axis)) for dot in tree.iter("circle")] for axis in ("cx", "cy"))
    assert xs[1] == pytest.approx((xs[0] + xs[2]) / 2) and xs[0] < xs[2]
    assert ys[1] == pytest.approx((ys[0] + ys[2]) / 2) and ys[0] > ys[2]  # up is smaller in SVG


def latent(label, values):
    return Latent(label, label, values, np.random.default_rng(9).normal(size=500), True)


def test_the_most_correlated_pairs_come_first():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 300))
    found = pair_panels([latent("a", a), latent("b", b), latent("near_a", 0.5 * c - a), latent("still", np.ones(300))])
    assert re.findall(r"<title>Draws of (\w+) against (\w+)", found)[0] == ("a", "near_a")
    assert "correlation \N{MINUS SIGN}0.9" in found and "still" not in found
    assert pair_panels([latent("a", a), latent("still", np.ones(300))]) == ""


def test_marginals_show_both_densities():
    found = marginal_panels([latent("a", np.random.default_rng(0).normal(2.0, 0.1, 400))])
    assert found.count("<svg") == 1 and "posterior-area" in found and "prior-line" in found
    assert re.search(r"Posterior of a: median 2\b|median 1.99|median 2.0", found)
