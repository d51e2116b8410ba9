"""The study of the paper (arXiv 2502.06601): its tasks, networks, baselines and metrics, one row per cell.

Settings (`tasks/`) say what one network is trained for and what it is tested on; `jobs` makes the list of all that a
preset asks for, `runner` does what has no row yet, `measures` judges draws, `report` writes `docs/study.md`.
"""
