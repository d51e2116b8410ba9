"""Long work says what it is doing, where it may; short work costs nothing, and nothing is left behind."""

import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types

import pytest

from posterity.runtime import status
from posterity.runtime.status import no_status, show_status, working


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self):
        return True

    @property
    def screen(self):
        """What can be seen of one line."""
        line = ""
        for part in self.getvalue().split("\r"):
            line = part + line[len(part) :]
        return line.rstrip()


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()  # pytest puts its own stream in the place of `sys.stderr` after fixtures are made
    monkeypatch.setattr(status, "sys", types.SimpleNamespace(stderr=stream, modules={}))
    return stream


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(status, "PATIENCE", 0.05)
    monkeypatch.setattr(status, "TICK", 0.02)
    time.sleep(0.3)  # the tick that the thread may be in


def until(condition):
    """Waits for another thread."""
    give_up = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_long_work_is_seen_in_a_terminal_and_leaves_nothing(terminal, capsys):
    with working("compiling the model"):
        until(lambda: terminal.screen == "compiling the model ... 0 s")
    assert terminal.screen == ""
    assert "\n" not in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_long_work_is_one_line_in_the_log(caplog):
    caplog.set_level(logging.INFO, "posterity")
    with working("sampling"):
        until(lambda: caplog.records)
        time.sleep(0.2)
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [("posterity", "INFO", "sampling ...")]


def test_no_terminal_no_line(capsys):
    with working("sampling") as block:
        time.sleep(0.3)
    assert block is None
    assert capsys.readouterr() == ("", "")


def test_short_work_says_nothing(terminal, monkeypatch):
    monkeypatch.setattr(status, "PATIENCE", 20.0)
    with working("sampling"):
        time.sleep(0.2)
    assert terminal.getvalue() == ""


def test_the_inner_of_two_blocks_is_seen(terminal):
    with working("answering"):
        until(lambda: terminal.screen.startswith("answering"))
        with working("sampling"):
            until(lambda: terminal.screen.startswith("sampling"))
        until(lambda: terminal.screen.startswith("answering"))
    assert terminal.screen == ""


def test_a_line_is_no_longer_than_the_terminal_is_wide(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    with working("sampling " * 10):
        until(lambda: terminal.screen)
        assert len(terminal.screen) < 20


@pytest.mark.parametrize("silenced", ["setting", "scope"])
def test_silence(terminal, caplog, silenced):
    caplog.set_level(logging.INFO, "posterity")
    try:
        if silenced == "setting":
            show_status(False)
        with no_status() if silenced == "scope" else working("answering"), working("sampling"):
            time.sleep(0.3)
    finally:
        show_status(True)
    assert terminal.getvalue() == ""
    assert not caplog.records


def test_silence_takes_back_what_is_shown(terminal):
    with working("sampling"):
        until(lambda: terminal.screen)
        with no_status():
            assert terminal.screen == ""
        until(lambda: terminal.screen)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_when_the_work_fails(terminal, error):
    with pytest.raises(error), working("sampling"):
        until(lambda: terminal.screen)
        raise error
    assert terminal.screen == ""
    assert not status._watch.open


def test_a_block_that_was_never_left_is_forgotten(terminal):
    """An interrupt may fall between a block's entry and its body."""
    working("sampling").__enter__()
    until(lambda: not status._watch.open)
    assert terminal.screen == ""


def test_blocks_of_many_threads():
    def work():
        for _ in range(2000):
            with working("sampling"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not status._watch.open
    assert [t.name for t in threading.enumerate()].count("posterity-status") == 1


def test_a_block_costs_next_to_nothing():
    """20 microseconds, in the best of 50 rounds, since other processes run as well."""
    with working("first"):
        pass
    rounds = []
    for _ in range(50):
        started = time.perf_counter()
        for _ in range(100):
            with working("sampling"):
                pass
        rounds.append((time.perf_counter() - started) / 100)
    assert min(rounds) < 20e-6


def test_a_notebook_shows_it_and_takes_it_back(monkeypatch):
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(bundle["text/plain"])

    def display(bundle, raw, display_id):
        shown.append(bundle["text/plain"])
        return Handle()

    shell = type("ZMQInteractiveShell", (), {})()
    package = types.ModuleType("IPython")
    package.get_ipython, package.display = lambda: shell, types.ModuleType("IPython.display")
    package.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", package.display)
    with working("sampling"):
        until(lambda: shown)
    assert shown[0] == "sampling ... 0 s"
    assert shown[-1] == ""


def test_a_process_that_was_forked_speaks_for_itself():
    script = """
        import logging, os, sys, time
        from posterity.runtime import status
        status.PATIENCE, status.TICK = 0.05, 0.02
        with status.working("first"):
            pass
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        if os.fork() == 0:
            with status.working("in the child"):
                time.sleep(2.0)
            sys.stdout.flush()
            os._exit(0)
        os.wait()
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("in the child ...\n", "")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no such terminals here")
def test_an_interrupt_in_a_terminal_ends_at_once_and_cleans_up():
    script = """
        import signal, time
        from posterity.runtime import status
        status.PATIENCE, status.TICK = 0.05, 0.02
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background starts without it
        try:
            with status.working("sampling"):
                time.sleep(60.0)
        except KeyboardInterrupt:
            pass
    """
    ours, theirs = os.openpty()
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=theirs) as process:
        try:
            seen = os.read(ours, 1000)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()  # nobody reads its terminal any more
    os.close(theirs)
    seen += os.read(ours, 1000)
    os.close(ours)
    screen = Terminal(seen.decode())
    assert "sampling ... 0 s" in seen.decode()
    assert screen.screen == ""
