"""Is an estimator calibrated? Datasets are simulated, and posteriors compared with the latents that made them."""

from posterity.trust.calibration.cells import Cell, envelope_cells
from posterity.trust.calibration.judgement import FALSE_ALARM, Coverage, Judgement, judge_posteriors
from posterity.trust.calibration.report import CellReport, calibrate

__all__ = [
    "FALSE_ALARM",
    "Cell",
    "CellReport",
    "Coverage",
    "Judgement",
    "calibrate",
    "envelope_cells",
    "judge_posteriors",
]
