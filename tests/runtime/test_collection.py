"""Full collections wait for the end of a block, whoever else has one, and the process finds its thresholds again."""

import gc

import pytest

from posterity.runtime.collection import no_full_collection


@pytest.fixture
def thresholds():
    """Some of one's own, put back after the test.

    What there is already does not count: with many old objects, Python puts full collections off whatever is set.
    """
    found = gc.get_threshold()
    gc.freeze()
    gc.collect()
    gc.set_threshold(50, 2, 2)
    yield gc.get_threshold()
    gc.set_threshold(*found)
    gc.unfreeze()


def full_collections():
    before = gc.get_stats()[2]["collections"]
    kept = [[] for _ in range(200_000)]
    del kept
    return gc.get_stats()[2]["collections"] - before


def test_no_full_collection_while_it_lasts(thresholds):
    assert full_collections() > 0
    with no_full_collection():
        assert full_collections() == 0
    assert gc.get_threshold() == thresholds


def test_blocks_may_overlap_in_any_order(thresholds):
    first, second = no_full_collection(), no_full_collection()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert full_collections() == 0
    second.__exit__(None, None, None)
    assert gc.get_threshold() == thresholds


def test_failures_put_it_back(thresholds):
    with pytest.raises(ValueError), no_full_collection():
        raise ValueError
    assert gc.get_threshold() == thresholds


def test_what_somebody_else_sets_meanwhile_stays(thresholds):
    with no_full_collection():
        gc.set_threshold(60, 3, 4)
    assert gc.get_threshold() == (60, 3, 4)
