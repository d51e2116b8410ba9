"""Laws of the row map and of the posterior around an anchor, whatever the slopes, and what the row network makes of it.

Everything about `NUM_CASES` posteriors is compiled once.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from informed_posterior.cases import ess_share, logistic_terms, stack, terms_of
from jax import lax, random, vmap
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from posterity.informed_posterior.anchor.anchor import find_anchor
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.bend.row_map import BETA, CENTRES, RowMap, bounded_slope

NUM_CASES, NUM_ROWS, SIZE, NUM_DRAWS = 6, 10, 3, 16
WILDNESS = (0.0, 0.5, 1.0, 2.0, 3.0, 30.0)  # of the raw slopes; the last is far beyond what a network gives
MASK = np.array([True, False, True])
KEYS = random.split(random.key(0), NUM_CASES)


def with_noise(network: RowNetwork, noise: float = 0.3) -> RowNetwork:
    """As after some training: the head is no longer at zero."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda w: w + jnp.asarray(noise * rng.normal(size=w.shape), w.dtype) if eqx.is_inexact_array(w) else w, network
    )


UNTRAINED = RowNetwork(8, 3, key=random.key(5))
TRAINED = with_noise(UNTRAINED)
FUNCTIONS = eqx.filter(UNTRAINED, eqx.is_array, inverse=True)  # all of a network that is no array


def weights_of(network: RowNetwork) -> RowNetwork:
    return eqx.filter(network, eqx.is_array)


def random_map(terms, anchor, rng_key, wildness) -> RowMap:
    """Any slopes and shifts on the directions and leverages of a regression."""
    key_slopes, key_shift = random.split(rng_key)
    leverage = anchor.curvature * jnp.square(anchor.scale) * terms.active
    return RowMap(
        directions=anchor.directions(terms) * terms.active[:, None],
        leverage=leverage,
        shift=leverage * random.normal(key_shift, leverage.shape),
        slopes=bounded_slope(wildness * random.normal(key_slopes, (leverage.size, len(CENTRES)))),
        mask=terms.mask,
    )


def masked_terms(rng_key):
    """A logistic regression of two latents at places 0 and 2, the one between masked; the last two rows are padding."""
    terms = logistic_terms(rng_key, NUM_ROWS, SIZE)
    active = jnp.arange(NUM_ROWS) < NUM_ROWS - 2
    design = jnp.where(MASK, terms.design, 0.0)
    return eqx.tree_at(lambda t: (t.design, t.active, t.mask), terms, (design, active, jnp.asarray(MASK)))


@pytest.fixture(scope="module")
def laws():
    """Numbers of `NUM_CASES` random posteriors, from one program."""

    def look(given):
        rng_key, wildness = given
        terms = masked_terms(rng_key)
        anchor = find_anchor(terms)
        q = AnchoredPosterior.around(anchor, random_map(terms, anchor, rng_key, wildness))
        noise = 1.5 * random.normal(rng_key, (NUM_DRAWS, SIZE)) * MASK
        z, log_det = vmap(q.transform_and_log_det)(noise)
        u, log_det_u = q.row_map.transform_many(noise)
        back, log_det_back = vmap(q.inverse_and_log_det)(z)
        drawn, log_q = q.sample_and_log_prob(rng_key, NUM_DRAWS)
        soiled = jnp.where(MASK, drawn, 1e6)
        return {
            "noise": noise, "z": z, "log_det": log_det, "back": back, "log_det_back": log_det_back,
            "jacobian": vmap(jax.jacfwd(lambda e: q.transform_and_log_det(e)[0]))(noise),
            "bend": vmap(jax.jacfwd(lambda e: q.row_map.transform_and_log_det(e)[0]))(noise), "log_det_u": log_det_u,
            "u": u, "drawn": drawn, "log_q": log_q, "log_prob": vmap(q.log_prob)(soiled), "q": q,
            "mode_first": q.row_map.transform_and_log_det(jnp.zeros(SIZE))[0],
        }  # fmt: skip

    found = jax.jit(lambda keys, wild: lax.map(look, (keys, wild)))(KEYS, jnp.asarray(WILDNESS))
    return jax.device_get(found)


CASES = pytest.mark.parametrize("case", range(NUM_CASES), ids=WILDNESS)


@CASES
def test_inverse_undoes_the_map(laws, case):
    """Newton's method to float32: errors of z near 1e-6 grow by 1 / (1 - BETA) = 10 at most."""
    assert_allclose(laws["back"][case], laws["noise"][case], atol=2e-4)
    assert_allclose(laws["log_det_back"][case], -laws["log_det"][case], atol=2e-3)


@CASES
def test_log_det_is_that_of_the_jacobian(laws, case):
    active = np.ix_(range(NUM_DRAWS), np.flatnonzero(MASK), np.flatnonzero(MASK))
    for jacobian, log_det in (("jacobian", "log_det"), ("bend", "log_det_u")):
        sign, expected = np.linalg.slogdet(laws[jacobian][case][active].astype(np.float64))
        assert_array_equal(sign, 1.0)
        assert_allclose(laws[log_det][case], expected, rtol=1e-4, atol=1e-4)


@CASES
def test_log_prob_of_draws_agrees_with_the_forward_pass(laws, case):
    """Whatever stands in the masked entry."""
    assert_allclose(laws["log_prob"][case], laws["log_q"][case], atol=2e-3)


@CASES
def test_masked_entries_are_zero(laws, case):
    for name in ("z", "back", "drawn"):
        assert_array_equal(laws[name][case][:, ~MASK], 0.0)
        assert np.isfinite(laws[name][case]).all()
    assert np.isfinite(laws["log_q"][case]).all()


@CASES
def test_jacobian_is_symmetric_and_bounded_below(laws, case):
    """So the map is the gradient of a convex function: one-to-one, whatever a network says."""
    bend = laws["bend"][case]
    assert_allclose(bend, np.swapaxes(bend, 1, 2), rtol=1e-5, atol=1e-5)
    assert np.linalg.eigvalsh(bend.astype(np.float64)).min() > 1.0 - BETA - 1e-5


def test_slopes_are_bounded():
    """And increase, up to the rounding of slopes near 1."""
    raw = jnp.concatenate([jnp.asarray([-1e9, -1e6, -100.0]), jnp.linspace(-3.0, 3.0, 601), jnp.asarray([1e3, 1e6])])
    slopes, growth = (np.asarray(values) for values in vmap(jax.value_and_grad(bounded_slope))(raw))
    assert (slopes >= -BETA).all()
    assert (np.diff(slopes) >= -1e-6).all()
    assert ((growth >= 0.0) & (growth < 1.1)).all()
    assert_allclose(bounded_slope(jnp.zeros(())), 0.0, atol=1e-7)
    assert_allclose(jax.grad(bounded_slope)(0.0), 1.0, atol=0.05)


def test_flat_slopes_scale_and_shift_only(laws):
    """Slopes of 0 leave the shift alone; the first case has them."""
    row_map = jax.tree.map(lambda leaf: leaf[0], laws["q"].row_map)
    assert_array_equal(row_map.slopes, 0.0)
    moved = row_map.shift @ row_map.directions
    assert_allclose(laws["u"][0], laws["noise"][0] + moved, atol=1e-5)
    assert np.abs(moved).max() > 0.01


def test_bend_is_centred():
    """Every row's bend has mean 0 under standard normal noise, so that the shift alone moves the mean."""
    t = np.linspace(-8.0, 8.0, 4001, dtype=np.float32)
    weights = np.exp(-0.5 * t.astype(float) ** 2)
    slopes = bounded_slope(random.normal(random.key(1), (4, len(CENTRES))))
    row_map = RowMap(jnp.eye(4), jnp.ones(4), jnp.zeros(4), slopes, jnp.ones(4, bool))
    points = jnp.concatenate([t, jnp.asarray([-1e3, *CENTRES, 1e3])])

    def move(t):
        """Along the axes, which are the directions: each coordinate is bent by a row of its own."""
        return row_map.transform_and_log_det(t * jnp.ones(4))[0]

    moved, rate = jax.device_get(jax.jit(vmap(lambda t: jax.jvp(move, (t,), (jnp.ones(()),))))(points))
    slope = rate - 1.0
    assert_allclose(weights @ (moved[: t.size] - t[:, None]) / weights.sum(), 0.0, atol=1e-5)
    # At the centres, and far out, the slopes are those given.
    assert_allclose(slope[t.size :].T, np.asarray(slopes)[:, [0, 0, 1, 2, 3, 4, 4]], atol=1e-3)
    assert np.ptp(slope) > 0.1


@pytest.mark.parametrize("case", [1, 3])
def test_density_integrates_to_one(laws, case):
    """On a grid over the two active latents, in coordinates where the anchor is standard normal."""
    q = jax.tree.map(lambda leaf: jnp.asarray(leaf[case]), laws["q"])
    side, reach = 128, 12.0
    axis = np.linspace(-reach, reach, side, dtype=np.float32)
    u = np.zeros((side * side, SIZE), np.float32)
    u[:, MASK] = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    z = np.asarray(q.loc) + np.linalg.solve(np.asarray(q.factor).T, u.T).T
    log_q = integrand(q, jnp.asarray(z, jnp.float32))
    jacobian = 1.0 / np.prod(np.diagonal(q.factor)[MASK])
    assert_allclose(np.exp(log_q.astype(np.float64)).sum() * (axis[1] - axis[0]) ** 2 * jacobian, 1.0, atol=5e-3)


@jax.jit
def _integrand(q, z):
    return vmap(q.log_prob)(z)


def integrand(q, z) -> np.ndarray:
    return np.asarray(_integrand(q, z))


def test_implicit_gradient_agrees_with_finite_differences(laws):
    """In float64, of the inverse and its log-det, by the point and by everything that a network sets."""
    with jax.enable_x64(True):
        row_map = jax.tree.map(lambda leaf: leaf[2], laws["q"].row_map)
        row_map = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64) if leaf.dtype == np.float32 else jnp.asarray(leaf), row_map
        )
        arguments = {
            "u": jnp.asarray(laws["u"][2][0], jnp.float64),
            "shift": row_map.shift,
            "slopes": row_map.slopes,
            "leverage": row_map.leverage,
            "directions": row_map.directions,
        }
        rng = np.random.default_rng(0)
        directions = {name: jnp.asarray(rng.normal(size=a.shape)) for name, a in arguments.items()}
        directions["u"] = directions["u"] * MASK
        directions["directions"] = directions["directions"] * MASK

        def value(a):
            moved = eqx.tree_at(
                lambda m: (m.shift, m.slopes, m.leverage, m.directions),
                row_map,
                (a["shift"], a["slopes"], a["leverage"], a["directions"]),
            )
            noise, log_det = moved.inverse_and_log_det(a["u"])
            return jnp.sum(jnp.cos(noise) * MASK) + log_det

        step = 1e-5

        @jax.jit
        def compare(arguments, directions):
            gradient = jax.grad(value)(arguments)
            found = {name: jnp.sum(gradient[name] * directions[name]) for name in arguments}
            moved = stack(
                [
                    {**arguments, name: arguments[name] + sign * step * directions[name]}
                    for name in arguments
                    for sign in (-1.0, 1.0)
                ]
            )
            values = jnp.reshape(lax.map(value, moved), (-1, 2))
            return found, dict(zip(arguments, (values[:, 1] - values[:, 0]) / (2.0 * step), strict=True))

        found, expected = jax.device_get(compare(arguments, directions))
    for name in found:
        # Central differences in float64: 1e-10 from the step, 1e-11 from rounding.
        assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-7, err_msg=name)
        assert abs(found[name]) > 1e-3, name


# -------------------------------------------------------------------------------------- the row network


@pytest.fixture(scope="module")
def network_numbers():
    """Log densities of a trained network's posterior, of the same with its rows permuted, with its latents rotated."""

    @jax.jit
    def look(weights, many, points):
        network = eqx.combine(weights, FUNCTIONS)

        def one(terms):
            anchor = find_anchor(terms)
            q = AnchoredPosterior.around(anchor, network(terms, anchor))
            return q, anchor

        qs, anchors = lax.map(one, many)
        log_probs = lax.map(lambda given: vmap(given[0].log_prob)(given[1]), (qs, points))
        return qs, anchors, log_probs

    terms = logistic_terms(random.key(3), NUM_ROWS, SIZE)
    order = np.random.default_rng(0).permutation(NUM_ROWS)
    x, y = np.asarray(terms.design), np.asarray(terms.log_density.args[0]["y"])
    rotation = stats.ortho_group.rvs(SIZE, random_state=2).astype(np.float32)
    variants = {
        "plain": (x, y),
        "permuted": (x[order], y[order]),
        "rotated": (x @ rotation, y),
        "mirrored": (-x, 1.0 - y),  # the same rows, seen from the other class
    }
    zs = np.asarray(1.5 * random.normal(random.key(4), (64, SIZE)))
    points = {name: zs @ rotation if name == "rotated" else zs for name in variants}
    many = stack([terms_of("logistic", *given) for given in variants.values()])
    qs, _, log_probs = jax.device_get(look(weights_of(TRAINED), many, jnp.asarray(np.stack(list(points.values())))))
    return dict(zip(variants, log_probs, strict=True)), qs


@pytest.mark.parametrize("variant", ["permuted", "rotated", "mirrored"])
def test_symmetries_of_the_posterior(network_numbers, variant):
    """Float32 through an anchor, a network and an inverse: 1e-3 nats; log densities here reach to -50."""
    log_probs, _ = network_numbers
    assert_allclose(log_probs[variant], log_probs["plain"], rtol=1e-4, atol=2e-3)
    assert np.ptp(log_probs["plain"]) > 5.0


def test_a_trained_network_bends_otherwise(network_numbers):
    """Or else the symmetries would be those of theory alone."""
    _, qs = network_numbers
    assert np.abs(qs.row_map.shift[0]).max() > 1e-3
    assert np.ptp(qs.row_map.slopes[0]) > 0.1


def test_untrained_network_improves_on_the_anchor():
    """Importance ESS of 10 logistic regressions with 64 rows and 20 latents."""
    num_draws = 1000

    def one(rng_key):
        terms = logistic_terms(rng_key, 64, 20)
        anchor = find_anchor(terms)
        row_map = UNTRAINED(terms, anchor)
        flat = eqx.tree_at(lambda m: (m.shift, m.slopes), row_map, replace_fn=jnp.zeros_like)
        shares = []
        for bent in (row_map, flat):
            z, log_q = AnchoredPosterior.around(anchor, bent).sample_and_log_prob(random.fold_in(rng_key, 1), num_draws)
            shares.append(ess_share(vmap(terms.log_joint)(z) - log_q))
        return jnp.stack(shares)

    shares = np.asarray(jax.jit(lambda keys: lax.map(one, keys))(random.split(random.key(6), 10)))
    bent, flat = np.median(shares, axis=0)
    assert bent > 0.8
    assert flat < 0.7


@pytest.fixture(scope="module")
def gradients():
    """Of both directions of KL by the network's weights: draws, and the density at a given point."""
    terms = logistic_terms(random.key(7), NUM_ROWS, SIZE)

    @jax.jit
    def look(weights):
        network = eqx.combine(weights, FUNCTIONS)
        anchor = find_anchor(terms)

        def reverse(network):
            z, log_q = AnchoredPosterior.around(anchor, network(terms, anchor)).sample_and_log_prob(random.key(8), 64)
            return jnp.mean(log_q - vmap(terms.log_joint)(z))

        def forward(network):
            q = AnchoredPosterior.around(anchor, network(terms, anchor))
            return -jnp.mean(vmap(q.log_prob)(random.normal(random.key(9), (16, SIZE))))

        return {"reverse": eqx.filter_grad(reverse)(network), "forward": eqx.filter_grad(forward)(network)}

    return {
        "trained": jax.device_get(look(weights_of(TRAINED))),
        "untrained": jax.device_get(look(weights_of(UNTRAINED))),
    }


@pytest.mark.parametrize("loss", ["reverse", "forward"])
def test_every_weight_gets_a_gradient(gradients, loss):
    """All entries of the head's bias, and some of every other weight."""
    for path, grad in jax.tree_util.tree_leaves_with_path(gradients["trained"][loss]):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), name
        assert np.any(grad != 0.0), name
    assert (gradients["trained"][loss].head.bias != 0.0).all()


@pytest.mark.parametrize("loss", ["reverse", "forward"])
def test_untrained_network_learns_from_its_head_first(gradients, loss):
    grads = gradients["untrained"][loss]
    assert (grads.head.bias != 0.0).all()
    assert np.any(grads.head.weight != 0.0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert all((leaf == 0.0).all() for leaf in jax.tree.leaves(grads.lift))
