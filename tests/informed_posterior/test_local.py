"""The informed posterior of any model: modes, lines of rows, mixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from informed_posterior.cases import draw, probe, soil
from jax import random, vmap
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import posterity
from posterity.informed_posterior.anchor.local import _points, find_gaussians, local_lines
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.store import shipped_network
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.nest.modes import mode_weights
from posterity.informed_posterior.read.rows import count_directions, rows_are_apart
from posterity.informed_posterior.read.structure import Structure, Unstructured, find_structure
from posterity.model.builtin import MODELS
from posterity.model.dataset import Dataset
from posterity.model.read import read_model
from posterity.runtime.errors import InputError
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed


def two_modes(x, y=None):
    """Only the square of `theta` is seen."""
    theta = numpyro.sample("theta", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(theta**2 * x, 0.5), obs=y)


def centred_by_rows(x, y=None):
    """Rows that cannot be taken one by one: their mean is taken out."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Poisson(jnp.exp(w * (x - jnp.mean(x)))), obs=y)


def normalised_over_rows(x, y=None):
    """As many predictors as rows, but each log probability sees all of them."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    share = jax.nn.softmax(w * x)
    numpyro.sample("y", dist.Normal(share, 0.1), obs=y)


def model_of(function, dtype=np.float32):
    return read_model(function, {"x": np.ones(9, np.float32), "y": np.ones(9, dtype)})


def padded(model, x, y, num_rows):
    def pad(values, dtype):
        return jnp.asarray(np.pad(values, (0, num_rows - len(values))), dtype)

    dtypes = {a.name: a.dtype for a in model.arguments}
    values = {"x": pad(x, dtypes["x"]), "y": pad(y, dtypes["y"])}
    return Dataset(values, jnp.arange(num_rows) < len(x), {})


NETWORK = RowNetwork(8, 2, key=random.key(0))
GRID = jnp.linspace(-4.0, 4.0, 4001)[:, None]


@pytest.fixture(scope="module")
def square():
    """Of `two_modes` on a dataset whose modes lie near -1.2 and 1.2, padded: q, and its numbers from one program."""
    model = model_of(two_modes)
    x = np.linspace(0.5, 2.0, 8)
    network = InformedNetwork(NETWORK, model, find_structure(model, probe(model)))

    @jax.jit
    def look(dataset, q):
        z, log_q = q.sample_and_log_prob(random.key(1), 400)
        return {
            "q": q, "num_modes": q.num_modes, "z": z, "log_q": log_q, "log_prob": vmap(q.log_prob)(z),
            "on_grid": vmap(q.log_prob)(GRID), "joint": vmap(lambda v: model.log_joint(v, dataset))(GRID),
            "gradient": jax.grad(q.log_prob)(z[0]),
        }  # fmt: skip

    dataset = padded(model, x, 1.44 * x + 0.3 * np.cos(7.0 * x), 12)
    return jax.device_get(look(dataset, network(dataset)))


def test_points_have_mean_zero_and_unit_covariance():
    for size in (1, 7, 40):
        points = _points(size).astype(float)
        assert_allclose(points.mean(axis=0), 0.0, atol=1e-6)
        assert_allclose(points.T @ points / len(points), np.eye(size), atol=1e-5)


def test_two_modes_are_found_and_mixed(square):
    q = square["q"]
    assert square["num_modes"] == 2
    chosen = np.isfinite(q.log_weights)
    assert_allclose(np.sort(q.gaussians.loc[chosen, 0]), [-1.2, 1.2], atol=0.1)
    assert_allclose(np.exp(q.log_weights)[chosen], 0.5, atol=0.01)


def test_mixture_is_the_posterior(square):
    """On a grid: q integrates to one and agrees with the normalised joint; draws report the density that they have."""
    density = np.exp(square["on_grid"].astype(float))
    joint = square["joint"].astype(float)
    posterior = np.exp(joint - joint.max())
    posterior /= posterior.sum() * 0.002
    assert_allclose(density.sum() * 0.002, 1.0, atol=1e-3)
    # Total variation: the defensive tenth alone may take 0.1.
    assert 0.5 * np.abs(density - posterior).sum() * 0.002 < 0.1
    assert_allclose(square["log_q"], square["log_prob"], atol=1e-4)
    # 400 fair coins: a share outside (0.4, 0.6) has probability 5e-5.
    assert 0.4 < np.mean(square["z"] > 0.0) < 0.6
    assert np.isfinite(square["gradient"]).all()


def behind_an_edge(x, y=None):
    """A row is impossible unless the means are nearly it: no point of any start's Gaussian is possible."""
    means = numpyro.sample("means", dist.Normal(jnp.zeros(2), 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", Within(means[0] * means[1] + x[:, 0], 1e-5), obs=y)


class Within(dist.Distribution):
    """Uniform, and zero outside: NumPyro's own does not look."""

    support = dist.constraints.real

    def __init__(self, loc, reach, *, validate_args=None):
        self.loc, self.reach = loc, reach
        super().__init__(jnp.shape(loc), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        return self.loc + self.reach * random.uniform(key, (*sample_shape, *self.batch_shape), minval=-1.0)

    def log_prob(self, value):
        return jnp.where(jnp.abs(value - self.loc) < self.reach, -jnp.log(2.0 * self.reach), -jnp.inf)


def test_an_answer_without_any_gaussian_is_not_trusted():
    """Where every bound is -inf, q was once a constant density, and its equal weights passed for perfect."""
    model = read_model(behind_an_edge, {"x": np.zeros((1, 1)), "y": np.zeros(1)})
    network = InformedNetwork(NETWORK, model, Unstructured(1, "made to"))

    @jax.jit
    def look(dataset, q):
        z, log_q = q.sample_and_log_prob(random.key(1), 1000)
        log_joint = vmap(lambda v: model.log_joint(v, dataset))(z)
        return q.gaussians.bound, q.num_modes, log_q, vmap(q.log_prob)(z), log_joint

    dataset = Dataset({"x": jnp.zeros((1, 1)), "y": jnp.asarray([0.9])}, jnp.ones(1, bool), {})
    bound, num_modes, log_q, again, log_joint = jax.device_get(look(dataset, network(dataset)))
    assert_array_equal(np.isneginf(bound), True)
    assert num_modes == 1
    assert np.ptp(log_q) > 1.0
    assert_allclose(again, log_q, atol=1e-2)
    assert judge(pareto_smoothed(log_joint - log_q))[0] == "untrusted"


def within_reach(x, y=None):
    """No row is further than 2 from the middle."""
    middle = numpyro.sample("middle", dist.Normal(0.0, 2.0))
    numpyro.sample("y", Within(middle + x, 2.0), obs=y)


def test_points_beyond_an_edge_leave_a_bound():
    """The posterior is the prior, cut off at -1 and 3, and the evidence is P(-1 < N(0, 4) < 3) / 4.

    Of 64 points, a share of 0.62 lies inside, with a standard error of at most 0.06: 0.1 in its logarithm.
    """
    model = model_of(within_reach)
    dataset = padded(model, np.zeros(1), np.ones(1), 4)
    found = find_gaussians(model, dataset)
    inside = stats.norm.cdf(1.5) - stats.norm.cdf(-0.5)
    assert_allclose(found.bound[0], np.log(inside / 4.0), atol=0.2)
    assert_allclose([found.loc[0, 0], found.factor[0, 0, 0]], [0.0, 0.5], atol=0.01)


def test_gaussian_posterior_is_exact_and_bends_nothing():
    """The conjugate posterior of a linear regression, found without reading its structure."""
    model = MODELS["linear_regression_known_noise"].read(3, noise_sd=0.5)
    dataset = soil(model, draw(model, random.key(0), 11)[0], 5)
    found = find_gaussians(model, dataset)
    assert np.isfinite(found.bound).sum() == 1  # all starts lead to one mode, which is fitted once
    best = jax.tree.map(lambda leaf: leaf[0], found)
    x = np.asarray(dataset.values["x"], float)[:11]
    design = np.concatenate([x, np.ones((11, 1))], axis=1)
    names = [site.name for site in model.space.sites]
    order = [3, 0, 1, 2] if names[0] == "b" else [0, 1, 2, 3]
    noise = 0.5
    precision = (np.eye(4) + design.T @ design / noise**2)[np.ix_(order, order)]
    y = np.asarray(dataset.values["y"], float)[:11]
    assert_allclose(best.factor @ best.factor.T, precision, rtol=2e-3, atol=2e-2)
    assert_allclose(best.loc, np.linalg.solve(precision, (design.T @ y / noise**2)[order]), atol=1e-3)

    @jax.jit
    def slopes(dataset, best):
        lines, anchor = local_lines(model, dataset, best, 1)
        return NETWORK(lines, anchor).slopes

    assert_allclose(slopes(dataset, best), 0.0, atol=1e-2)


def test_every_relabelling_of_a_mixture_is_found():
    """Three components have six modes of equal weight; 16 draws of the prior do not reach all of them."""
    model = MODELS["gaussian_mixture"].read(2, num_components=3, component_sd=0.3)
    dataset, _ = draw(model, random.key(2), 40, 2)
    found = find_gaussians(model, dataset)
    loc, log_weights = found.loc, mode_weights(found, jnp.ones(6, bool))
    held = np.asarray(log_weights) > np.log(0.01)
    means = np.asarray(loc)[held].reshape(-1, 3, 2)
    assert len(means) == 6
    # The evidence of each is an average over 64 points, to about 0.1 nats.
    assert_allclose(np.exp(np.asarray(log_weights)[held]), 1.0 / 6.0, rtol=0.15)
    orders = [np.argsort(mu[:, 0]) for mu in means]
    assert len({tuple(order) for order in orders}) == 6
    for mu, order in zip(means, orders, strict=True):
        assert_allclose(mu[order], means[0][orders[0]], atol=0.02)


def squared(x, y=None):
    """Only the square of the predictor is seen: two modes, for any number of weights."""
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(jnp.square(x @ w), 0.5), obs=y)


@pytest.fixture(scope="module")
def masked():
    """Modes of a model of two weights, and q of one of up to three, the last masked, garbage where there is nothing."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 2)).astype(np.float32)
    y = (np.square(x @ [1.0, -0.7]) + 0.5 * rng.normal(size=30)).astype(np.float32)
    small, large = (read_model(squared, {"x": np.zeros((30, n)), "y": y}, {"features": n}) for n in (2, 3))
    whole = Dataset({"x": jnp.asarray(x), "y": jnp.asarray(y)}, jnp.ones(30, bool), small.plate_masks({"features": 2}))
    wider = {"x": jnp.pad(whole.values["x"], ((0, 0), (0, 1))), "y": whole.values["y"]}
    part = soil(large, Dataset(wider, whole.row_mask, large.plate_masks({"features": 2})), 4)
    network = InformedNetwork(NETWORK, large, Unstructured(0, "taken as it is"))
    mask = jnp.asarray([True, True, False])

    @jax.jit
    def look(q):
        z, log_q = q.sample_and_log_prob(random.key(1), 200)
        return q, z, log_q, vmap(q.log_prob)(jnp.where(mask, z, 1e6))

    found = find_gaussians(small, whole)
    return jax.device_get(((found, mode_weights(found, jnp.ones(2, bool))), look(network(part))))


def test_modes_of_masked_latents_are_those_of_the_smaller_model(masked):
    """Newton's method stops within 0.05 standard deviations of a mode, the iteration after it within 0.02.

    The evidence of each is an average over 64 points, to about 0.1 nats.
    """
    (small, small_weights), (q, *_) = masked
    found = q.gaussians
    kept, expected = np.isfinite(q.log_weights), np.isfinite(small_weights)
    assert np.sum(kept) == np.sum(expected) == 2
    assert_array_equal(found.loc[:, 2], 0.0)
    assert_array_equal(found.factor[:, 2], np.broadcast_to([0.0, 0.0, 1.0], (len(found.loc), 3)))
    order, expected_order = (np.argsort(loc[:, 0]) for loc in (found.loc[kept], small.loc[expected]))
    gaps = found.loc[kept][order][:, :2] - small.loc[expected][expected_order]
    factors = small.factor[expected][expected_order]
    for gap, factor, own in zip(gaps, factors, found.factor[kept][order], strict=True):
        assert np.linalg.norm(factor.T @ gap) < 0.1
        white = np.linalg.solve(factor, own[:2, :2])
        assert_allclose(white @ white.T, np.eye(2), atol=0.1)
    assert_allclose(found.bound[kept], small.bound[expected], atol=0.2)


def test_masked_latents_of_a_mixture_count_nothing(masked):
    """Draws are zero there, and the density does not look."""
    _, (_, z, log_q, again) = masked
    assert_array_equal(z[:, 2], 0.0)
    assert (z[:, :2].std(axis=0) > 0.1).all()
    assert_allclose(again, log_q, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "count"), [("logistic_regression", 1), ("linear_regression", 2), ("categorical_regression", 2)]
)
def test_number_of_lines_is_the_rank_of_a_rows_hessian(name, count):
    model = MODELS[name].read(3)
    assert count_directions(model, *probe(model)) == count


@pytest.fixture(scope="module")
def softmax():
    """A softmax regression of 60 rows, then of one row: what its rows bend, and draws, all from one program."""
    model = MODELS["categorical_regression"].read(2)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = np.argmax(x @ [[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]] + rng.gumbel(size=(60, 3)), axis=1)
    structure = find_structure(model, probe(model))
    network = InformedNetwork(shipped_network(), model, structure)

    @jax.jit
    def look(dataset, q):
        best = jax.tree.map(lambda leaf: leaf[0], q.gaussians)
        lines, anchor = local_lines(model, dataset, best, structure.num_directions)
        z, log_q = q.sample_and_log_prob(random.key(1), 1000)
        log_joint = vmap(lambda v: model.log_joint(v, dataset))(z)
        return {"lines": lines, "anchor": anchor, "directions": anchor.directions(lines), "z": z,
                "log_ratios": log_joint - log_q}  # fmt: skip

    datasets = [
        Dataset(
            {"x": jnp.asarray(x, jnp.float32), "y": jnp.asarray(y, jnp.int32)},
            jnp.arange(60) < num_rows,
            model.plate_masks({"features": 2}),
        )
        for num_rows in (60, 1)
    ]
    padded_ones = [soil(model, dataset, 4, 0.0) for dataset in datasets]
    return [jax.device_get(look(dataset, network(dataset))) for dataset in padded_ones]


@pytest.mark.parametrize(("i", "num_rows"), [(0, 60), (1, 1)])
def test_lines_leave_the_precision_room(softmax, i, num_rows):
    lines, anchor, directions = (softmax[i][name] for name in ("lines", "anchor", "directions"))
    assert_array_equal(lines.active[:128], np.repeat(np.arange(64) < num_rows, 2))
    assert_allclose(np.linalg.norm(directions[lines.active], axis=1), 1.0, atol=1e-3)
    leverage = (anchor.curvature * anchor.scale**2)[lines.active]
    weighted = (directions[lines.active].T * leverage) @ directions[lines.active]
    assert np.linalg.eigvalsh(weighted)[-1] < 1.0 + 1e-3


@pytest.mark.parametrize(("i", "least"), [(0, 800.0), (1, 100.0)])
def test_softmax_regression_is_answered_without_training(softmax, i, least):
    """60 rows very well; of one row, the posterior is nearly the prior."""
    weights = pareto_smoothed(softmax[i]["log_ratios"])
    assert judge(weights) == ("corrected", ())
    assert weights.ess > least  # of 1000


def test_rows_that_cannot_be_taken_one_by_one_give_no_lines():
    """One predictor for each row is no proof: the mean is taken out of these."""
    model = model_of(centred_by_rows, np.int32)
    assert not rows_are_apart(model, *probe(model))
    assert find_structure(model, probe(model)) == Structure((), False)
    assert rows_are_apart(model_of(two_modes), *probe(model_of(two_modes)))


def test_structures_are_done_without():
    model = model_of(normalised_over_rows)
    found = find_structure(model, probe(model))
    assert isinstance(found, Unstructured) and found.num_directions == 0
    assert "depends on other rows' predictors" in found.reason


def test_named_scales_that_do_not_serve_are_refused():
    with pytest.raises(InputError, match=r"no informed posterior given \['w'\].* Name other scales, or none"):
        posterity.informed("logistic_regression", columns=2, scales=["w"])
