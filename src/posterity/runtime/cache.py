"""Compiled programs kept on disk, so that the next process need not compile them again."""

import functools
import os
from pathlib import Path

import jax

__all__ = ["cache_directory", "forget_oldest", "keep_compiled_programs"]

MAX_BYTES = 512 * 1024**2
OFF = "off"


def cache_directory() -> Path | None:
    """Where they are kept: POSTERITY_CACHE, or `posterity` under XDG_CACHE_HOME or ~/.cache; None if that is `off`."""
    chosen = os.environ.get("POSTERITY_CACHE")
    if chosen == OFF:
        return None
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posterity"


@functools.cache
def keep_compiled_programs() -> None:
    """Points JAX's persistent compilation cache there, once in a process, before the first program is compiled.

    All stays as it is where no directory can be written, where it is switched off, and where the user has set a cache
    of their own. JAX has one cache for the whole process: programs of the user's are kept in it too, if they take a
    second or more.
    """
    if jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        return
    folder = cache_directory()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        forget_oldest(folder)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Hundreds of small programs add up to more seconds than the one large one.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def forget_oldest(folder: Path) -> None:
    """Keeps the cache within `MAX_BYTES`: the oldest programs go first."""
    entries = [(entry.stat(), entry) for entry in folder.iterdir() if entry.is_file()]
    excess = sum(status.st_size for status, _ in entries) - MAX_BYTES
    for status, entry in sorted(entries, key=lambda pair: pair[0].st_mtime):
        if excess <= 0:
            return
        entry.unlink(missing_ok=True)
        excess -= status.st_size
