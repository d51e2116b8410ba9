"""An estimator without training: the informed posterior of a model, by its own likelihood."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from posterity.checks import InputError, lookup
from posterity.estimator import Estimator
from posterity.informed.informed import InformedNetwork
from posterity.informed.store import shipped_network
from posterity.informed.structure import NotInformedError, read_structure
from posterity.models import MODELS
from posterity.problem import Envelope, Problem, build_problem

__all__ = ["informed_estimator"]


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
        example: One dataset of a model of your own: argument name -> array with rows first.
        columns: For a built-in model, fewest and most columns; its usual ones if None.
        scales: Latent sites that scale others; found from the model if None.
        check: Make sure that the model's masks are sound, as `build_problem` does.
        **options: Options of a built-in model.

    Raises:
        InputError: The model cannot serve, or has no structure that an informed posterior can use.
    """
    if isinstance(model, Problem):
        problem = model
    elif isinstance(model, str):
        entry = lookup("model", model, MODELS)
        problem = entry.problem(columns=columns, check=check, **options)
    elif example is None:
        raise InputError(f"informed_estimator({model!r}): a model of your own needs an example dataset")
    else:
        rows = len(np.asarray(next(iter(example.values()))))
        problem = build_problem(model, example, Envelope((rows, rows)), check=check)
    known = [site.name for site in problem.space.sites]
    for name in scales or ():
        lookup("latent site", name, dict.fromkeys(known))
    try:
        structure = read_structure(problem, scales)
    except NotInformedError as error:
        raise InputError(f"no informed posterior: {error}. Train an estimator in context instead") from error
    network = InformedNetwork(shipped_network(), problem, structure)
    record = {"informed": {"scales": list(structure.scale_sites), "gaussian": structure.is_gaussian}}
    return Estimator(problem, network, None, record)
