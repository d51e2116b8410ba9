"""Built-in models; a new one is a file with an entry and a line in this table."""

from posterity.model.arguments import ModelFunction
from posterity.model.builtin import (
    categorical_regression,
    gaussian_mean,
    gaussian_mixture,
    linear_regression,
    logistic_regression,
    neural_network,
    poisson_regression,
)
from posterity.model.builtin.entry import BuiltinModel

__all__ = ["MODELS", "BuiltinModel", "builtin_entry"]

MODELS: dict[str, BuiltinModel] = {
    entry.name: entry
    for entry in (
        gaussian_mean.ENTRY,
        gaussian_mixture.ENTRY,
        linear_regression.ENTRY,
        linear_regression.ENTRY_KNOWN_NOISE,
        logistic_regression.ENTRY,
        categorical_regression.ENTRY,
        poisson_regression.ENTRY,
        neural_network.ENTRY_REGRESSION,
        neural_network.ENTRY_CLASSIFICATION,
    )
}


def builtin_entry(function: ModelFunction) -> BuiltinModel | None:
    """The entry of a built-in model, options set or not; None for a model of the user's own."""
    while hasattr(function, "func"):
        function = function.func  # pyright: ignore[reportFunctionMemberAccess]
    return next((entry for entry in MODELS.values() if entry.model is function), None)
