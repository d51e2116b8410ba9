"""Streams of random numbers: one for each purpose of a seed."""

import itertools

import numpy as np
from jax import random

import posterity
from posterity import Architecture, Envelope, TrainingConfig, fitting
from posterity.runtime.keys import key_for, for_purpose
from posterity.training import loop

MANY = 400  # more than any of the purposes below splits its key into
SMALL = Architecture("deep_sets", "full", {"width": 8, "depth": 1, "embedding_size": 8}, {}, {"width": 16, "depth": 1})


def as_numbers(key):
    return tuple(np.asarray(random.key_data(key)).tolist())


def children(key):
    """All keys that splitting it, or folding it with a counter, may give."""
    return {as_numbers(key), *map(tuple, np.asarray(random.key_data(random.split(key, MANY))).tolist())}


def test_splitting_is_folding_with_a_counter():
    """Why there is a rule at all; where JAX changes this, the rule does no harm."""
    key = random.key(3)
    assert as_numbers(random.split(key, 5)[2]) == as_numbers(random.fold_in(key, 2))


def test_keys_of_a_purpose_are_the_same_on_every_machine():
    assert as_numbers(key_for(0, "training")) == as_numbers(random.fold_in(random.key(0), 0xD5128A8F))
    assert as_numbers(key_for(1, "training")) != as_numbers(key_for(0, "training")) != as_numbers(key_for(0, "network"))
    assert as_numbers(for_purpose(random.key(2), "x")) == as_numbers(key_for(2, "x"))


def test_no_two_purposes_of_a_training_run_share_a_stream(monkeypatch):
    used = {}

    def spy(module, name, take):
        original = getattr(module, name)

        def spied(*given, **named):
            used[name] = take(*given, **named)
            return original(*given, **named)

        monkeypatch.setattr(module, name, spied)

    spy(fitting, "build_network", lambda *_, rng_key: rng_key)
    spy(fitting, "measure_envelope", lambda problem, stream, rng_key: rng_key)
    spy(loop, "validate", lambda *_, rng_key, **__: rng_key)
    made = loop.make_chunk

    def make_chunk(*given):
        chunk = made(*given)

        def spied(state, rng_key, *rest):
            used["training"] = rng_key
            return chunk(state, rng_key, *rest)

        return spied

    monkeypatch.setattr(loop, "make_chunk", make_chunk)
    posterity.fit(
        "gaussian_mean", envelope=Envelope((4, 8), {"dims": (1, 2)}), architecture=SMALL,
        config=TrainingConfig(steps=1, batch_size=2),
    )  # fmt: skip
    assert set(used) == {"build_network", "measure_envelope", "validate", "training"}
    for first, second in itertools.combinations(used.values(), 2):
        assert not children(first) & children(second)
