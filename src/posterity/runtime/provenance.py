"""Where and when something was trained, as its record says it."""

import datetime

import jax

__all__ = ["made_here"]


def made_here() -> dict[str, str]:
    """The devices that JAX sees, in words, and the time (UTC)."""
    return {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
