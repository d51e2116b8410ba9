"""The anchor is exact where the posterior is Gaussian, at its own fixed point elsewhere, and finite always."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from informed_posterior.cases import draw, model_of, soil, stack, terms_of
from jax import random
from numpy.testing import assert_allclose, assert_array_equal
from oracles import linear_regression_posterior
from scipy import special

from posterity.informed_posterior.anchor.anchor import (
    SETTLED,
    find_anchor,
    find_anchors,
    laplace_anchor,
    laplace_anchors,
)
from posterity.informed_posterior.read.structure import conditional_terms, read_structure
from posterity.informed_posterior.read.terms import padded, padded_size
from posterity.model.dataset import Dataset, stack_datasets

NUM_ROWS, SIZE = 16, 3
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


WITHOUT_MASKS = ("logistic_1", "logistic_2", "poisson_1", "poisson_2", "student_1", "student_2")


def regression(kind: str, seed: int, num_rows: int = NUM_ROWS, size: int = SIZE, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_rows, size))
    eta = x @ rng.normal(0.0, scale, size)
    y = {
        "normal": lambda: eta + rng.normal(size=num_rows),
        "logistic": lambda: rng.random(num_rows) < special.expit(eta),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "student": lambda: eta + rng.standard_t(4.0, num_rows),
    }[kind]()
    return x, y.astype(float)


X, Y = regression("logistic", 0)
ORDINARY = {
    "normal": ("normal", *regression("normal", 1)),
    "logistic": ("logistic", X, Y),
    "poisson": ("poisson", *regression("poisson", 2, scale=0.5)),
    "student": ("student", *regression("student", 3)),
    "logistic_1": ("logistic", *regression("logistic", 4, 10, 1)),
    "logistic_2": ("logistic", *regression("logistic", 5, 12, 2)),
    "poisson_1": ("poisson", *regression("poisson", 6, 10, 1)),
    "poisson_2": ("poisson", *regression("poisson", 7, 12, 2)),
    "student_1": ("student", *regression("student", 8, 10, 1)),
    "student_2": ("student", *regression("student", 9, 12, 2)),
}
MASKED = ORDINARY["logistic_1"]  # the other two latents masked, where `looks` has it with two that follow their prior
LARGE = np.where(np.arange(NUM_ROWS) == 3, 1e6, 0.0)
ILL_POSED = {
    "separable": ("logistic", 10.0 * X, (X[:, 0] > 0.0).astype(float)),
    "separable_far": ("logistic", 1e4 * X, (X[:, 0] > 0.0).astype(float)),
    "all_of_one_class": ("logistic", np.ones_like(X), np.ones(NUM_ROWS)),
    "duplicated_columns": ("logistic", X[:, [0, 0, 0]], Y),
    "duplicated_large_columns": ("normal", 1e3 * X[:, [0, 0, 1]], X[:, 0]),
    "zero_columns": ("logistic", np.zeros_like(X), Y),
    "fewer_rows_than_latents": ("poisson", X[:2], np.array([3.0, 0.0])),
    "one_row": ("logistic", X[:1], Y[:1]),
    "one_far_row": ("poisson", 30.0 * X[:1], np.array([1e6])),
    "counts_of_1e6": ("poisson", X, np.full(NUM_ROWS, 1e6)),
    "one_count_of_1e6": ("poisson", X, LARGE),
    "no_counts": ("poisson", 3.0 * X, np.zeros(NUM_ROWS)),
    "student_outlier": ("student", X, X[:, 0] + LARGE),
    "student_outliers": ("student", X, 1e6 * np.sign(X[:, 1])),
    "normal_outlier": ("normal", X, X[:, 0] + LARGE),
    "constant_target": ("normal", X, np.full(NUM_ROWS, 7.0)),
    "constant_student_target": ("student", np.ones_like(X), np.full(NUM_ROWS, 1e3)),
}


def padded_terms(name: str):
    """All to one size; the oracle of the evidence needs latents that are there, if only to follow their prior."""
    kind, x, y = (ORDINARY | ILL_POSED)[name]
    if name in WITHOUT_MASKS:
        x = np.pad(x, ((0, 0), (0, SIZE - x.shape[1])))
    return terms_of(kind, x, y, num_rows=NUM_ROWS, num_latents=SIZE)


def bounded(search, terms):
    """The anchor, and its bound on the log evidence."""
    anchors, averaged = search(jax.tree.map(lambda leaf: leaf[None, None], terms))
    anchor = jax.tree.map(lambda leaf: leaf[0, 0], anchors)
    return anchor, terms.quadratic(anchor.loc) + averaged[0, 0]


@pytest.fixture(scope="module")
def looks():
    """Anchors of all these regressions, padded to one size: one compiled function."""
    cases = ORDINARY | ILL_POSED

    def look(terms):
        (found, evidence), (laplace, laplace_evidence) = bounded(find_anchors, terms), bounded(laplace_anchors, terms)
        return {
            "anchor": found,
            "evidence": evidence,
            "laplace": laplace,
            "laplace_evidence": laplace_evidence,
            "directions": found.directions(terms),
        }

    many = stack([padded_terms(name) for name in cases] + [terms_of(*MASKED, num_rows=NUM_ROWS, num_latents=SIZE)])
    found = jax.device_get(jax.jit(lambda many: jax.lax.map(look, many))(many))
    return {name: jax.tree.map(lambda leaf, i=i: leaf[i], found) for i, name in enumerate([*cases, "masked"])}


def slopes_and_curvatures(kind: str, y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and negative second derivatives of the log likelihood, in float64."""
    if kind == "logistic":
        return y - special.expit(eta), special.expit(eta) * special.expit(-eta)
    if kind == "poisson":
        return y - np.exp(eta), np.exp(eta)
    gap = y - eta
    return 5.0 * gap / (4.0 + gap**2), 5.0 * (4.0 - gap**2) / (4.0 + gap**2) ** 2


def residuals(kind: str, x: np.ndarray, y: np.ndarray, anchor) -> tuple[float, float]:
    """How far the smoothed gradient and precision are from the anchor's, in its own standard deviations."""
    size = x.shape[1]
    loc, factor = np.float64(anchor.loc[:size]), np.float64(anchor.factor[:size, :size])
    white = np.linalg.solve(factor, x.T).T
    eta = (x @ loc)[:, None] + np.linalg.norm(white, axis=1)[:, None] * NODES
    slopes, curvatures = (values @ WEIGHTS for values in slopes_and_curvatures(kind, y[:, None], eta))
    gradient = np.linalg.solve(factor, -loc + x.T @ slopes)
    inverse = np.linalg.inv(factor)
    precision = inverse @ (np.eye(size) + (x.T * np.abs(curvatures)) @ x) @ inverse.T
    return float(np.linalg.norm(gradient)), float(np.linalg.norm(precision - np.eye(size)))


@pytest.mark.parametrize("name", [name for name in ORDINARY if name != "normal"])
def test_anchor_is_at_its_fixed_point(looks, name):
    """The iteration stops after a step shorter than `SETTLED`, and the next one would be shorter still.

    The averages here have 60 nodes; of terms that are convex on average the absolute value counts, as documented.
    The mode, with its own curvature, is no such point.
    """
    gradient, precision = residuals(*ORDINARY[name], looks[name]["anchor"])
    assert gradient < SETTLED
    assert precision < SETTLED
    assert max(residuals(*ORDINARY[name], looks[name]["laplace"])) > 2.0 * SETTLED


def test_normal_terms_are_exact(looks):
    """Even where they are not part of the quadratic form."""
    _, x, y = ORDINARY["normal"]
    precision = np.eye(SIZE) + x.T @ x
    anchor = looks["normal"]["anchor"]
    assert_allclose(anchor.loc, np.linalg.solve(precision, x.T @ y), rtol=1e-4, atol=1e-4)
    assert_allclose(anchor.factor @ anchor.factor.T, precision, rtol=1e-4, atol=1e-4)
    covariance = np.eye(NUM_ROWS) + x @ x.T
    expected = -0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1])
    assert_allclose(looks["normal"]["evidence"], expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", WITHOUT_MASKS)
def test_log_evidence_is_a_close_lower_bound(looks, name):
    """Against a sum over a fine grid; 1e-3 nats for float32 and for 9 nodes instead of an integral."""
    kind, x, y = ORDINARY[name]
    axis = np.linspace(-6.0, 6.0, 401)
    z = np.stack(np.meshgrid(*[axis] * x.shape[1], indexing="ij"), axis=-1).reshape(-1, x.shape[1])
    eta = z @ x.T
    rows = {
        "logistic": lambda: y * eta - np.logaddexp(0.0, eta),
        "poisson": lambda: y * eta - np.exp(eta),
        "student": lambda: -2.5 * np.log1p((y - eta) ** 2 / 4.0),
    }[kind]()
    joint = rows.sum(axis=1) - 0.5 * (z**2).sum(axis=1) - 0.5 * x.shape[1] * np.log(2.0 * np.pi)
    evidence = special.logsumexp(joint) + x.shape[1] * np.log(axis[1] - axis[0])
    assert looks[name]["evidence"] <= evidence + 1e-3
    assert looks[name]["evidence"] > evidence - 0.05
    assert looks[name]["evidence"] > looks[name]["laplace_evidence"] - 1e-4


def test_masked_latents_are_like_none(looks):
    """Latents that follow their prior and masked ones alike leave the others where they are."""
    there, masked = looks["logistic_1"]["anchor"], looks["masked"]["anchor"]
    assert_allclose(masked.loc, there.loc, atol=1e-5)
    assert_allclose(masked.factor, there.factor, atol=1e-5)


def test_masked_latents_count_nothing_in_the_evidence(looks):
    assert_allclose(looks["masked"]["evidence"], looks["logistic_1"]["evidence"], atol=1e-4)


@pytest.mark.parametrize("name", ILL_POSED)
def test_anchor_is_finite(looks, name):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(looks[name]))
    anchor = looks[name]["anchor"]
    assert (np.diagonal(anchor.factor) > 0.0).all()
    assert (anchor.scale > 0.0).all()
    assert (anchor.curvature >= 0.0).all()


@pytest.mark.parametrize("name", [*ORDINARY, *ILL_POSED])
def test_leverages_are_shares_of_the_latents(looks, name):
    """Each at most 1, all together at most as many as latents, and weighted directions at most the identity."""
    _, x, _ = (ORDINARY | ILL_POSED)[name]
    found = looks[name]
    leverage = (found["anchor"].curvature * found["anchor"].scale ** 2)[: len(x)]
    assert (leverage >= 0.0).all()
    assert (leverage <= 1.0 + 1e-3).all()
    assert leverage.sum() <= x.shape[1] * (1.0 + 1e-3)
    directions = found["directions"][: len(x)]
    assert np.linalg.eigvalsh((directions.T * leverage) @ directions).max() <= 1.0 + 1e-3


@pytest.fixture(scope="module")
def reordered():
    """A dataset, the same with its rows in another order, and with 1e6 in the padding."""
    found = {}
    for name in ("logistic_regression", "linear_regression_known_noise"):
        model = model_of(name)
        dataset, _ = draw(model, random.key(4), 12, 2)
        order = np.random.default_rng(0).permutation(12)
        shuffled = Dataset({k: v[order] for k, v in dataset.values.items()}, dataset.row_mask, dataset.plate_masks)
        variants = [soil(model, dataset, 4, 0.0), soil(model, shuffled, 4), soil(model, dataset, 4)]
        structure = read_structure(model)

        def look(dataset, model=model, structure=structure):
            terms = conditional_terms(model, structure, jnp.zeros(model.space.size), dataset)
            if structure.is_gaussian:
                return (find_anchor(terms),)
            return find_anchor(terms), laplace_anchor(terms), laplace_anchor(terms, jnp.zeros(model.space.size))

        many = stack_datasets(variants)
        found[name] = dataset, *jax.device_get(jax.jit(lambda many, look=look: jax.lax.map(look, many))(many))
    return found


@pytest.mark.parametrize("name", ["logistic_regression", "linear_regression_known_noise"])
def test_order_of_rows_and_padding_do_not_matter(reordered, name):
    """Up to float32 sums in another order; the padding holds the very same numbers inside."""
    anchors = reordered[name][1]
    for leaf in (anchors.loc, anchors.factor):
        assert_allclose(leaf[1], leaf[0], rtol=1e-4, atol=1e-4)
        assert_allclose(leaf[2], leaf[0], rtol=1e-5, atol=1e-5)


def test_mode_does_not_depend_on_the_start(reordered):
    """Not even on one where all predictors are 0: NumPyro's Bernoulli by logits has derivative 0 there by autodiff.

    Newton's method stops 0.01 nats from the mode, which is 0.15 standard deviations.
    """
    _, _, found, from_zero = reordered["logistic_regression"]
    for factor, loc, other in zip(found.factor, found.loc, from_zero.loc, strict=True):
        assert np.linalg.norm(factor.T @ (loc - other)) < 0.15


def test_linear_regression_with_known_noise_is_exact(reordered):
    """Against the closed form; the third weight is masked."""
    dataset, anchors = reordered["linear_regression_known_noise"]
    values = {"x": dataset.values["x"][:, :2], "y": dataset.values["y"]}
    mean, covariance = linear_regression_posterior(values)
    active = [0, 1, 3]
    for loc, factor in zip(anchors.loc, anchors.factor, strict=True):
        assert_allclose(loc[active], mean, rtol=1e-4, atol=1e-5)
        found = np.linalg.inv((factor @ factor.T).astype(np.float64))
        assert_allclose(found[np.ix_(active, active)], covariance, rtol=1e-4, atol=1e-6)
        assert loc[2] == 0.0
        assert_allclose(factor[2], np.eye(4)[2], atol=1e-5)


@pytest.mark.parametrize("name", ["logistic", "poisson", "student"])
def test_padding_to_one_of_a_few_sizes_changes_nothing(name):
    """16 rows and 3 latents stay 16 and become 4; 10 rows become 12."""
    kind, x, y = ORDINARY[name]
    for num_rows, padded_rows in ((16, 16), (10, 12)):
        terms = terms_of(kind, x[:num_rows], y[:num_rows])
        wider = padded(terms)
        assert wider.design.shape == (padded_rows, padded_size(SIZE)) == (padded_rows, 4)
        z = jnp.asarray([0.3, -1.2, 0.7])
        anything = jnp.concatenate([z, jnp.asarray([0.0])])
        assert_allclose(wider.log_joint(anything), terms.log_joint(z), rtol=1e-6)
        found, expected = find_anchor(wider), find_anchor(terms)
        assert_allclose(found.loc[:SIZE], expected.loc, atol=1e-5)
        assert_allclose(found.factor[:SIZE, :SIZE], expected.factor, rtol=1e-4, atol=1e-5)
        assert_array_equal(found.loc[SIZE:], 0.0)
        assert_allclose(found.factor[SIZE:], np.eye(4)[SIZE:], atol=1e-5)


@pytest.mark.parametrize(
    ("number", "terms", "latents"), [(0, 0, 0), (1, 8, 2), (9, 12, 12), (16, 16, 16), (17, 24, 24), (100, 128, 104)]
)
def test_sizes_that_are_padded_to(number, terms, latents):
    sized = padded(terms_of("logistic", np.zeros((number, max(number, 1))), np.zeros(number)))
    assert sized.design.shape == (terms, latents or 2)
