"""What people keep and look at: answers, summaries, DataTrees, tables."""

from posterity.results.answer import Answer, Unanswered
from posterity.results.evidence import Evidence, compare
from posterity.results.prediction import Predictions, predict
from posterity.results.resampling import resampled_indices
from posterity.results.summary import Summary, answer_to_json, summarise, summarise_answer
from posterity.results.table import posterior_table
from posterity.results.tree import to_datatree, write_netcdf

__all__ = [
    "Answer",
    "Evidence",
    "Predictions",
    "Summary",
    "Unanswered",
    "answer_to_json",
    "compare",
    "posterior_table",
    "predict",
    "resampled_indices",
    "summarise",
    "summarise_answer",
    "to_datatree",
    "write_netcdf",
]
