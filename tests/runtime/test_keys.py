"""Streams of random numbers: one for each purpose of a seed, and one for each dataset."""

import importlib
import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

import posterity
from posterity import MODELS, Architecture, TrainingConfig, builtin_simulator
from posterity.runtime.keys import dataset_key, dataset_words, for_purpose, key_for, quick_key
from posterity.training import loop

train = importlib.import_module("posterity.estimator.train")
MANY = 1000  # more than anything splits its key into
SMALL = Architecture("deep_sets", "full", {"width": 8, "depth": 1, "embedding_size": 8}, {}, {"width": 16, "depth": 1})
PURPOSE = re.compile(r"(?:key_for|for_purpose)\(.*\"([\w ]+)\"\)")
PURPOSES = sorted(
    {purpose for file in Path(posterity.__file__).parent.rglob("*.py") for purpose in PURPOSE.findall(file.read_text())}
)


def as_numbers(key):
    return tuple(np.asarray(random.key_data(key)).tolist())


def children(key):
    """All keys that splitting it, or folding it with a counter, may give."""
    folded = jax.vmap(random.fold_in, in_axes=(None, 0))(key, jnp.arange(MANY))
    keys = [random.key_data(random.split(key, MANY)), random.key_data(folded)]
    return {as_numbers(key), *map(tuple, np.concatenate(keys).tolist())}


def test_splitting_is_folding_with_a_counter():
    """Why there is a rule at all; where JAX changes this, the rule does no harm."""
    key = random.key(3)
    assert as_numbers(random.split(key, 5)[2]) == as_numbers(random.fold_in(key, 2))


def test_keys_of_a_purpose_are_the_same_on_every_machine():
    assert as_numbers(key_for(0, "training")) == as_numbers(random.fold_in(random.key(0), 0xD5128A8F))
    assert as_numbers(key_for(1, "training")) != as_numbers(key_for(0, "training")) != as_numbers(key_for(0, "network"))
    assert as_numbers(for_purpose(random.key(2), "x")) == as_numbers(key_for(2, "x"))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40 + 17, 2**63 - 1])
def test_keys_made_without_jax_are_those_of_jax(seed, x64):
    with jax.enable_x64(x64):
        assert as_numbers(key_for(seed, "training")) == as_numbers(random.fold_in(random.key(seed), 0xD5128A8F))
    assert jax.eval_shape(lambda: key_for(seed, "x")).dtype == random.key(0).dtype


def test_keys_of_another_generator_are_left_to_jax():
    with jax.default_prng_impl("rbg"):
        assert random.key_impl(key_for(3, "x")) == random.key_impl(random.key(3))
        assert as_numbers(key_for(3, "x")) == as_numbers(for_purpose(random.key(3), "x"))


def test_quick_keys_give_numbers_that_will_do():
    """Standard errors of means and correlations, and Kolmogorov-Smirnov: a false alarm in some hundred keys."""
    numbers = np.asarray(jax.jit(lambda: random.normal(quick_key(5), (4, 5000)))())
    assert np.all(np.abs(numbers.mean(axis=1)) < 4.0 / np.sqrt(5000))
    assert stats.kstest(numbers.ravel(), "norm").pvalue > 1e-3
    keys = jnp.concatenate([random.split(quick_key(5), 3), quick_key(6)[None]])
    streams = np.asarray(jax.vmap(lambda key: random.uniform(key, (5000,)))(keys))
    assert np.all(np.abs(np.corrcoef(streams)[np.triu_indices(4, 1)]) < 4.0 / np.sqrt(5000))
    assert len({as_numbers(random.fold_in(quick_key(5), i)) for i in range(100)}) == 100
    assert np.asarray(random.bits(quick_key(1), (3,), "uint8")).dtype == np.uint8


def test_purposes_are_no_counters():
    """Every purpose that the package names, against whatever a root key might be split into or folded with."""
    assert {"training", "network", "datasets"} <= set(PURPOSES)
    used = {purpose: as_numbers(key_for(7, purpose)) for purpose in PURPOSES}
    assert len(set(used.values())) == len(PURPOSES)
    assert not set(used.values()) & children(random.key(7))


def test_no_two_purposes_of_a_training_run_share_a_stream(monkeypatch):
    used = {}

    def spy(module, name, take):
        original = getattr(module, name)

        def spied(*given, **named):
            used[name] = take(*given, **named)
            return original(*given, **named)

        monkeypatch.setattr(module, name, spied)

    spy(train, "build_network", lambda *_, rng_key: rng_key)
    spy(train, "measure_envelope", lambda simulator, stream, rng_key: rng_key)
    spy(loop, "validate", lambda *_, rng_key, **__: rng_key)
    made = loop.make_chunk

    def make_chunk(*given):
        chunk = made(*given)

        def spied(state, rng_key, *rest):
            used["training"] = rng_key
            return chunk(state, rng_key, *rest)

        return spied

    monkeypatch.setattr(loop, "make_chunk", make_chunk)
    simulator = builtin_simulator(MODELS["gaussian_mean"], (4, 8), (1, 2), check=False)
    posterity.train(simulator, architecture=SMALL, config=TrainingConfig(steps=1, batch_size=2))
    assert set(used) == {"build_network", "measure_envelope", "validate", "training"}
    for first, second in itertools.combinations(used.values(), 2):
        assert not children(first) & children(second)


# ------------------------------------------------------------------------------------------- datasets

NAMES = ["", "0", "1", "store 1", "store 2", "Ω", "x" * 1000, "x" * 1001, "\ud800", *map(str, range(10, 200))]
PLACES = [0, 1, 2, 17, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40]


def key_of(name, place, seed=0):
    return as_numbers(dataset_key(key_for(seed, "datasets"), jnp.asarray(dataset_words(name, place))))


@pytest.fixture(scope="module")
def keys():
    """Of datasets with names, and of those with places alone."""
    words = np.stack([dataset_words(n, 0) for n in NAMES] + [dataset_words(None, p) for p in PLACES])
    made = jax.vmap(dataset_key, in_axes=(None, 0))(key_for(0, "datasets"), jnp.asarray(words))
    return [tuple(key) for key in np.asarray(random.key_data(made)).tolist()]


def test_no_two_names_or_places_share_a_key(keys):
    assert len(set(keys)) == len(NAMES) + len(PLACES)


def test_keys_of_datasets_are_no_counters(keys):
    assert not set(keys) & children(key_for(0, "datasets"))


def test_a_name_gives_the_same_key_wherever_the_dataset_stands(keys):
    assert key_of("store 1", 0) == key_of("store 1", 12) == keys[NAMES.index("store 1")]
    assert key_of("store 1", 0) != key_of("store 1", 0, seed=1)
    assert key_of(None, 17) == keys[len(NAMES) + PLACES.index(17)]


def test_keys_of_names_are_the_same_on_every_machine():
    """Python's own hash of a text differs from process to process."""
    assert dataset_words("store 1", 0).tolist() == [1, 2913946161, 809658087]
    assert dataset_words(None, 2**32 + 5).tolist() == [0, 5, 1]
