"""Encoders: the rows of one dataset, and which of them are real, to one embedding.

A new encoder is one new file and one line in `ENCODERS`; the laws in the tests then run on it.
"""

from posterity.amortized.encoders.base import AbstractEncoder
from posterity.amortized.encoders.deep_sets import DeepSets
from posterity.amortized.encoders.gru import GRU
from posterity.amortized.encoders.set_transformer import SetTransformer
from posterity.amortized.encoders.transformer import Transformer

__all__ = ["ENCODERS", "GRU", "AbstractEncoder", "DeepSets", "SetTransformer", "Transformer"]

ENCODERS: dict[str, type[AbstractEncoder]] = {
    "deep_sets": DeepSets,
    "gru": GRU,
    "set_transformer": SetTransformer,
    "transformer": Transformer,
}
