"""How much each preset does: sizes of the measurements, seeds, and which methods run on which setting."""

import dataclasses

__all__ = ["PRESETS", "Preset"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes of one preset.

    Attributes:
        summary: One line for `posterity bench list`.
        num_datasets: Test datasets of a task.
        num_draws: Draws of each posterior.
        w2_datasets: Test datasets of which W2 is taken.
        w2_draws: Draws on either side of it; the paper has 2500.
        neural_references: Test datasets of a neural network of which NUTS makes a reference: one takes it about a
            minute of a core, at its deepest trees.
        chain_draws: Draws kept per chain of a sampler.
        seeds: Seeds of the networks.
        refine_seconds: Most time to refine one posterior.
        optimum_iterations: Of Adam, for MLE and MAP.
    """

    summary: str
    num_datasets: int
    num_draws: int
    w2_datasets: int
    w2_draws: int
    neural_references: int
    chain_draws: int
    seeds: tuple[int, ...]
    refine_seconds: float
    optimum_iterations: int


PRESETS = {
    "smoke": Preset("does everything run? small models, two minutes", 8, 200, 2, 100, 8, 100, (0,), 2.0, 50),
    "laptop": Preset("two cores, about 8 hours, resumable", 100, 1000, 20, 500, 20, 500, (0, 1, 2), 30.0, 1000),
    "paper": Preset("the paper's sizes and lengths, for a GPU", 100, 1000, 100, 2500, 100, 2500, (0, 1, 2), 30.0, 1000),
}
