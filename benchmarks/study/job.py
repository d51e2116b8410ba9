"""One job of the study: a network to train and judge, or a baseline to run."""

import dataclasses

__all__ = ["PAPER_TEMPERATURE", "Job"]

PAPER_TEMPERATURE = "paper_temperature"
"""Stream of networks whose data have the temperature and whose likelihood has not: the paper's code as it is."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What to do, in words that a row can carry.

    Attributes:
        part: Part of the study, see `work.PARTS`.
        setting: Name of the setting.
        method: ENCODER/FAMILY/OBJECTIVE, or a baseline's name.
        seed: Of the network.
        stream: Where training datasets come from: the model's "own", or another's; or `PAPER_TEMPERATURE`.
    """

    part: str
    setting: str
    method: str
    seed: int = 0
    stream: str = "own"

    @property
    def name(self) -> str:
        """What says that a row is this job's."""
        return f"{self.part}/{self.setting}/{self.method}/{self.stream}/{self.seed}"
