"""The cells of the paper's tables: their values, their methods, and how long the paper trained for them.

`paper.jsonl` holds one cell a line, transcribed from Tables 1 to 24. Its keys:

- `table`: the paper's number; "7-14", "15-22" and "23-24" where only the group of tables is known.
- `setup`: fixed (one network for one dimension), variable (one network up to 100 dimensions), tabular, misspecified.
- `column`: "LR 100D", "NLR tanh-2L 25D", "NLC T5c 2L 25D" (tanh, 5 classes, 2 hidden layers); a bare model's name means
  what the main text takes (ReLU, one hidden layer, two classes). Misspecified: "DATA -> MODEL", DATA in linear,
  mlp_tanh, gp, MODEL in lr, nlr_tanh.
- `method`: prior (the paper's Random), mle (Optimization), langevin, hmc, or ENCODER/FAMILY/OBJECTIVE.
- `stream`: what the network was trained on: lr, nlr, gp, or own (draws of the assumed model).
- `measure`: loss (expected predictive L2), accuracy (percent), symmetric_kl_per_latent (nats), w2.
- `value`, `error` (null if none is given) and `printed`, which tells how far the value was rounded.

Cells that the paper marks N/A are left out.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "ENCODERS",
    "FAMILIES",
    "NETWORKS",
    "OBJECTIVES",
    "Cell",
    "Key",
    "label",
    "paper_steps",
    "read_cells",
    "stream_of",
]

ENCODERS = ("gru", "deep_sets", "transformer")
FAMILIES = ("diagonal", "flow")
OBJECTIVES = ("forward", "reverse")
NETWORKS = tuple(f"{e}/{f}/{o}" for f in FAMILIES for o in OBJECTIVES for e in ENCODERS)
STREAMS = {"nlr_tanh": "nlr"}  # a stream is named as in the paper, or after the model that draws it
NAMES = {
    "gru": "GRU", "deep_sets": "DeepSets", "transformer": "Transformer", "diagonal": "diagonal Gaussian",
    "forward": "forward KL", "reverse": "reverse KL", "mle": "maximum likelihood", "map": "maximum a posteriori",
    "langevin": "Langevin", "hmc": "HMC", "nuts": "NUTS", "exact": "exact posterior",
    "informed_raw": "informed, unweighted", "best_diagonal_reverse": "best diagonal Gaussian, reverse KL",
    "best_diagonal_forward": "best diagonal Gaussian, forward KL", "best_flow_reverse": "best flow, reverse KL",
    "floor": "floor of finite draws", "predict_mean": "predict the mean",
    "majority": "majority class",
}  # fmt: skip
FIXED_STEPS = {"GM": 20_000, "GMM": 200_000, "LR": 50_000, "NLR": 100_000, "LC": 50_000, "NLC": 100_000}
VARIABLE_STEPS = {"GM": 50_000, "GMM": 500_000, "LR": 100_000, "NLR": 250_000, "LC": 100_000, "NLC": 250_000}


class Key(NamedTuple):
    """Where a cell of the paper and a result row meet."""

    setup: str
    column: str
    method: str
    stream: str = "own"


@dataclass(frozen=True)
class Cell:
    """One number of the paper."""

    table: str
    setup: str
    column: str
    method: str
    stream: str
    measure: str
    value: float
    error: float | None
    printed: str

    @cached_property
    def key(self) -> Key:
        """What a result row for this cell has to match."""
        return Key(self.setup, self.column, self.method, stream_of(self.column, self.stream))

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit."""
        digits = self.printed.split("±")[0].partition(".")[2]
        return 0.5 * 10.0 ** -len(digits)


def read_cells() -> list[Cell]:
    """All cells, in the paper's order."""
    lines = Path(__file__).with_name("paper.jsonl").read_text().splitlines()
    return [Cell(**json.loads(line)) for line in lines]


def stream_of(column: str, stream: str | None) -> str:
    """`own` wherever the training stream is the assumed model's, whatever it is called."""
    model, stream = (STREAMS.get(name, name) for name in (column.partition(" -> ")[2], stream or "own"))
    return "own" if stream == model else stream


def paper_steps(setup: str, column: str) -> int | None:
    """Training steps of the paper's network for a column; real tables are answered by the variable ones."""
    model = column.split(" -> ")[-1].split()[0].split("_")[0].upper()
    return (VARIABLE_STEPS if setup in ("variable", "tabular") else FIXED_STEPS).get(model)


def label(method: str, stream: str = "own") -> str:
    """The method in words."""
    words = ", ".join(NAMES.get(part, part) for part in method.split("/"))
    return words if stream == "own" else f"{words}, trained on {stream} data"
