"""An estimator without training: the informed posterior of a model, by its own likelihood."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from posterity.estimator.estimator import Estimator
from posterity.informed.bend.store import shipped_network
from posterity.informed.informed import InformedNetwork
from posterity.informed.read.structure import NotInformedError, find_structure
from posterity.model.build import build_problem
from posterity.model.builtin import MODELS
from posterity.model.problem import Problem
from posterity.runtime.errors import InputError, lookup
from posterity.simulation.envelope import Envelope

__all__ = ["informed_estimator", "is_informed"]


def is_informed(name: str) -> bool:
    """Whether a name stands for a built-in model that is answered without training."""
    return name in MODELS and MODELS[name].informed


def informed_estimator(
    model: str | Callable[..., Any] | Problem,
    example: Mapping[str, Any] | None = None,
    *,
    columns: tuple[int, int] | None = None,
    scales: Collection[str] | None = None,
    check: bool = True,
    **options: Any,
) -> Estimator:
    """The informed posterior of a model, ready for any dataset of its shape; nothing is trained.

    It serves models in which every row depends on the latents through one number that is affine in them (a linear
    predictor with any link and likelihood), but for at most one scale latent such as a noise sd.

    Args:
        model: Name of a built-in model, a NumPyro model with an `example`, or a problem.
        example: One dataset: argument name -> array with rows first. A model of your own needs it.
        columns: For a built-in model, fewest and most columns; those of `example`, or its usual ones, if None.
        scales: Latent sites that scale others; found from the model if None.
        check: Make sure of a model of your own that its masks are sound, as `build_problem` does, and that no row's
            likelihood depends on another row's predictor.
        **options: Options of a built-in model.

    Raises:
        InputError: The model cannot serve, or has no structure that an informed posterior can use.
    """
    if isinstance(model, str):
        problem, check = _builtin_problem(model, example, columns, options), False
    elif options or columns is not None:
        name = next(iter(options), "columns")
        raise InputError(f"informed_estimator: '{name}' is for built-in models; set the defaults of your own instead")
    elif isinstance(model, Problem):
        problem = model
    elif example is None:
        raise InputError(f"informed_estimator({model!r}): a model of your own needs an example dataset")
    else:
        num_rows = len(np.asarray(next(iter(example.values()))))
        problem = build_problem(model, example, Envelope((num_rows, num_rows)), check=check)
    for name in scales or ():
        lookup("latent site", name, dict.fromkeys(site.name for site in problem.space.sites))
    try:
        structure = find_structure(problem, scales, check=check)
    except NotInformedError as error:
        raise InputError(
            f"no informed posterior given {list(scales or ())}: {error}. Name other scales, or none"
        ) from error
    network = InformedNetwork(shipped_network(), problem, structure)
    record = {"informed": dataclasses.asdict(structure)}
    return Estimator(problem, network, None, record)


def _builtin_problem(
    name: str, example: Mapping[str, Any] | None, columns: tuple[int, int] | None, options: Mapping[str, Any]
) -> Problem:
    """The problem of a built-in model, as wide as the example; the library's own tests have checked it."""
    entry = lookup("model", name, MODELS)
    if columns is None and example is not None and entry.matrix in example:
        width = np.shape(example[entry.matrix])[-1]
        columns = (width, width)
    return entry.problem(columns=columns, check=False, **options)
