"""Compiled programs on disk: where, how many, and that the next process finds them."""

import os
import subprocess
import sys

import jax
import pytest

from posterity.runtime import cache

COMPILE = """
import jax, jax.monitoring, jax.numpy as jnp
jax.jit(lambda x: x * 3.0)(2.0)  # something of the user's, before ours
from posterity.runtime.compile import jit
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
jit(lambda x: jnp.linalg.cholesky(x @ x.T + jnp.eye(5)), effort="moderate")(jnp.ones((5, 5)))
print(sum(event.endswith("cache_hits") for event in seen), sum(event.endswith("cache_misses") for event in seen))
"""


@pytest.fixture
def jax_settings():
    """Puts back what the cache changes."""
    names = [
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    ]
    before = {name: getattr(jax.config, name) for name in names}
    cache.keep_compiled_programs.cache_clear()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    cache.keep_compiled_programs.cache_clear()


def compile_in_a_new_process(**environment: str) -> tuple[int, int]:
    """Hits and misses of one of our programs."""
    keep = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("JAX_COMPILATION_CACHE", "JAX_PERSISTENT", "POSTERITY"))
    }
    run = subprocess.run(
        [sys.executable, "-c", COMPILE], env=keep | environment, capture_output=True, text=True, check=True
    )
    hits, misses = run.stdout.split()
    return int(hits), int(misses)


def test_the_next_process_compiles_nothing_again(tmp_path):
    """Seen to hit: on a processor where JAX keeps nothing, this is where it shows."""
    hits, misses = compile_in_a_new_process(POSTERITY_CACHE=str(tmp_path))
    assert hits == 0
    assert misses > 0
    kept = sorted(path.name for path in tmp_path.iterdir())
    hits, misses = compile_in_a_new_process(POSTERITY_CACHE=str(tmp_path))
    assert hits > 0
    assert misses == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_nothing_is_kept_where_it_is_off(tmp_path):
    assert compile_in_a_new_process(POSTERITY_CACHE="off", HOME=str(tmp_path), XDG_CACHE_HOME="")[0] == 0
    assert not list(tmp_path.iterdir())


def test_where_compiled_programs_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("POSTERITY_CACHE", str(tmp_path / "mine"))
    assert cache.cache_directory() == tmp_path / "mine"
    monkeypatch.setenv("POSTERITY_CACHE", "off")
    assert cache.cache_directory() is None
    monkeypatch.delenv("POSTERITY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_directory() == tmp_path / "posterity"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_directory() == tmp_path / "home" / ".cache" / "posterity"


def test_the_cache_forgets_what_is_oldest(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MAX_BYTES", 250)
    for age, name in enumerate(["new", "middle", "old"]):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    cache.forget_oldest(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle", "new"]


@pytest.mark.usefixtures("jax_settings")
def test_a_cache_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("POSTERITY_CACHE", str(tmp_path / "file" / "cache"))
    jax.config.update("jax_compilation_cache_dir", None)
    cache.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.usefixtures("jax_settings")
def test_a_cache_of_the_users_own_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTERITY_CACHE", str(tmp_path / "ours"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "theirs"))
    cache.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "theirs")
    assert not (tmp_path / "ours").exists()
