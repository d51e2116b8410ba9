"""The limit on BLAS threads belongs to the process: blocks that overlap must leave it as it was."""

import threading

import pytest
import scipy.linalg  # noqa: F401 - so that its library is loaded and found
from threadpoolctl import ThreadpoolController

from posterity.runtime.threads import one_blas_thread

TIMEOUT = 30.0


def blas_threads():
    """Library of linear algebra -> its number of threads."""
    libraries = ThreadpoolController().select(user_api="blas").info()
    return {library["filepath"]: library["num_threads"] for library in libraries}


def set_threads(numbers):
    """In a thread that ends: threadpoolctl hears no other while the one that set the number lives."""
    setter = threading.Thread(target=lambda: ThreadpoolController().limit(limits=numbers))
    setter.start()
    setter.join(TIMEOUT)


@pytest.fixture
def three_threads():
    """Other tests run with one thread, where nothing could be seen."""
    before = blas_threads()
    set_threads(dict.fromkeys(before, 3))
    assert set(blas_threads().values()) == {3}
    yield
    set_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_blocks_that_overlap_leave_the_number_of_threads_as_it_was():
    """A enters, B enters, A leaves, B leaves, each in a thread of its own."""
    entered = {name: threading.Event() for name in "AB"}
    may_leave = {name: threading.Event() for name in "AB"}

    def block(name):
        with one_blas_thread():
            entered[name].set()
            assert may_leave[name].wait(TIMEOUT)

    threads = {name: threading.Thread(target=block, args=(name,)) for name in "AB"}
    for name in "AB":
        threads[name].start()
        assert entered[name].wait(TIMEOUT)
        assert set(blas_threads().values()) == {1}
    for name, left in (("A", {1}), ("B", {3})):
        may_leave[name].set()
        threads[name].join(TIMEOUT)
        assert set(blas_threads().values()) == left


@pytest.mark.usefixtures("three_threads")
def test_a_block_that_fails_puts_the_number_of_threads_back():
    with pytest.raises(ValueError, match="inside"), one_blas_thread(), one_blas_thread():
        raise ValueError("inside")
    assert set(blas_threads().values()) == {3}
