"""All settings of the study; a new one is a file, or a line in one, and a line in this table."""

from study.settings import Setting
from study.tasks import (
    gaussian_mean,
    gaussian_mixture,
    linear_classification,
    linear_regression,
    neural_classification,
    neural_regression,
)

__all__ = ["SETTINGS", "setting_of"]

SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for module in (
        gaussian_mean,
        gaussian_mixture,
        linear_regression,
        neural_regression,
        linear_classification,
        neural_classification,
    )
    for setting in module.SETTINGS
}


def setting_of(task: str) -> Setting:
    """The setting that a task belongs to."""
    return next(s for s in SETTINGS.values() if any(t.name == task for t in s.tasks))
