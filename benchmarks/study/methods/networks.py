"""The networks of each preset: the paper's sizes, or smaller ones that two cores can train."""

from typing import Any

import posterity
from study.settings import Setting

__all__ = ["ENCODERS", "ENCODER_OPTIONS", "FAMILIES", "OBJECTIVES", "PRESETS", "architecture", "family_options",
           "objective", "training"]  # fmt: skip

ENCODERS = ("transformer", "deep_sets", "gru")
FAMILIES = ("diagonal", "flow")
OBJECTIVES = ("forward", "reverse")
PRESETS = ("smoke", "laptop", "paper")

ENCODER_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "transformer": {"width": 256, "depth": 4, "num_heads": 4, "expansion": 4, "embedding_size": 256},
        "deep_sets": {"width": 627, "depth": 4, "expansion": 1, "embedding_size": 256},
        "gru": {"width": 256, "depth": 4, "embedding_size": 256},
    },
    "laptop": {
        "transformer": {"width": 32, "depth": 2, "num_heads": 1, "expansion": 2, "embedding_size": 64},
        "deep_sets": {"width": 64, "depth": 1, "expansion": 2, "embedding_size": 64},
        "gru": {"width": 32, "depth": 1, "embedding_size": 64},
    },
    "smoke": {
        "transformer": {"width": 8, "depth": 2, "num_heads": 1, "expansion": 1, "embedding_size": 8},
        "deep_sets": {"width": 8, "depth": 1, "expansion": 1, "embedding_size": 8},
        "gru": {"width": 8, "depth": 1, "embedding_size": 8},
    },
}
TRUNK_OPTIONS = {
    "paper": {"width": 256, "depth": 4},
    "laptop": {"width": 128, "depth": 3},
    "smoke": {"width": 16, "depth": 1},
}
# The paper's flow: affine couplings behind a diagonal affine map.
FLOW_OPTIONS = {
    "paper": {"transform": "affine", "linear": "diagonal", "num_layers": 6, "width": 128},
    "laptop": {"transform": "affine", "linear": "diagonal", "num_layers": 4, "width": 32},
    "smoke": {"transform": "affine", "linear": "diagonal", "num_layers": 2, "width": 8},
}
STEPS = {"smoke": 40, "laptop": 1000}
KL_WARMUP = 0.25
"""Share of the steps over which the KL term warms up, as in the paper."""


def family_options(preset: str, family: str) -> dict[str, Any]:
    """Options of a posterior family."""
    return dict(FLOW_OPTIONS[preset]) if family == "flow" else {}


def architecture(preset: str, encoder: str, family: str, **encoder_options: Any) -> posterity.Architecture:
    """The network of a preset."""
    return posterity.Architecture(
        encoder,
        family,
        encoder_options=ENCODER_OPTIONS[preset][encoder] | encoder_options,
        family_options=family_options(preset, family),
        trunk_options=TRUNK_OPTIONS[preset],
    )


def objective(name: str) -> posterity.ForwardKL | posterity.ReverseKL:
    """Forward KL, or reverse KL with one draw and a warm-up, as in the paper."""
    return posterity.ForwardKL() if name == "forward" else posterity.ReverseKL(num_samples=1, kl_warmup=KL_WARMUP)


def training(preset: str, setting: Setting, seed: int) -> posterity.TrainingConfig:
    """Length and settings of a training run; the paper has batches of 128 and Adam at a constant 1e-4."""
    if preset == "paper":
        return posterity.TrainingConfig(
            steps=setting.paper_steps, batch_size=128, learning_rate=5e-4, seed=seed, chunk_steps=100, validate=False
        )
    batch = 16 if preset == "smoke" else 64
    return posterity.TrainingConfig(
        steps=STEPS[preset], batch_size=batch, warmup_steps=100, ema_decay=0.99, seed=seed, validate=False
    )
