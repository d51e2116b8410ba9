"""An estimator without training: the informed posterior of a model, by its own likelihood."""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from posterity.estimator.estimator import Estimator
from posterity.inference.run import refuse_unsupported
from posterity.informed_posterior.bend.store import shipped_network
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.read.apart import terms_are_apart
from posterity.informed_posterior.read.structure import (
    NotInformedError,
    Structure,
    Unstructured,
    check_log_concave,
    check_scales,
    find_structure,
    read_structure,
)
from posterity.model.arguments import argument_arrays, example_arrays
from posterity.model.builtin import MODELS
from posterity.model.derivatives import check_derivatives, explained_derivatives
from posterity.model.intake import num_rows_in, pad_dataset, read_arrays
from posterity.model.model import Model
from posterity.model.reading import read_as_it_serves
from posterity.model.soundness import UnsupportedRowsError, check_at_rows, look_at_rows
from posterity.model.whole_soundness import check_whole
from posterity.runtime.collection import no_full_collection
from posterity.runtime.compile import jit
from posterity.runtime.errors import InputError, lookup
from posterity.runtime.precision import precision
from posterity.runtime.status import working
from posterity.simulation.simulator import Simulator

__all__ = ["informed", "is_informed"]

MOST_KEPT = 128

_structures: OrderedDict[Hashable, Structure | Unstructured] = OrderedDict()
_lock = threading.Lock()


def is_informed(name: str) -> bool:
    """Whether a name stands for a built-in model that is answered without training."""
    return name in MODELS and MODELS[name].informed


def informed(
    model: str | Callable[..., Any] | Simulator,
    like: Mapping[str, Any] | None = None,
    *,
    columns: int | None = None,
    scales: Collection[str] | None = None,
    check: bool = True,
    **options: Any,
) -> Estimator:
    """The informed posterior of a model, ready for any dataset of its shape; nothing is trained.

    The model's own log joint anchors a Gaussian, which is bent along every row, and nested inside the latents that
    scale the rest, such as noise sds, spreads of group effects, correlations and degrees of freedom: up to eight
    numbers. It is near-exact for models in which, given those, every row depends on the latents through one number that
    is affine in them (a linear predictor with any link and likelihood); others are answered around the modes that are
    found. A model of your own without exchangeable rows (a time series, a Gaussian process, states along time) is
    answered too: each dataset, of the shapes of `like`, counts as one observation of it.

    Args:
        model: Name of a built-in model, a NumPyro model, or what simulates one.
        like: One dataset: argument name -> array with rows first. A model of your own needs it. A plain number that
            sets the size of a plate of groups may differ from dataset to dataset; others are written into the model.
        columns: For a built-in model, most columns; those of `like`, or its usual ones, if None.
        scales: Latent sites that scale others; found from the model if None.
        check: Make sure that the masks of a model of your own are sound, and that no row's likelihood depends on
            another row's predictor. Done once for each model.
        **options: Options of a built-in model.

    Raises:
        InputError: The model cannot serve.
    """
    with working("reading and checking the model"), no_full_collection():
        check = check and not isinstance(model, str)
        structure_of = partial(_structure, scales=scales, check=check)
        if isinstance(model, (str, Simulator)):
            read, example = _model_and_example(model, like, columns, options)
            structure = structure_of(read, example)
        else:
            example = _shown(model, like, columns, options)
            read, structure = read_as_it_serves(model, example, structure_of)
        network = InformedNetwork(shipped_network(), read, structure)
    return Estimator(read, network, record={"informed": dataclasses.asdict(structure)}, example=example)


def _model_and_example(
    model: str | Simulator, like: Mapping[str, Any] | None, columns: int | None, options: Mapping[str, Any]
) -> tuple[Model, Mapping[str, Any]]:
    """The model, and a dataset at which to look at it, every plate at its capacity."""
    if isinstance(model, str):
        entry = lookup("model", model, MODELS)
        if columns is None:
            columns = entry.columns[1]
            if like is not None and entry.matrix in like:
                columns = int(np.shape(like[entry.matrix])[-1])
        read = entry.read(columns, **options)
        return read, _made_up(read)
    if options or columns is not None:
        raise _only_for_builtin(options)
    return model.model, model.example() if like is None else like


def _shown(
    model: Callable[..., Any], like: Mapping[str, Any] | None, columns: int | None, options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The dataset that shows the arguments of a model of the user's own."""
    if options or columns is not None:
        raise _only_for_builtin(options)
    if like is None:
        raise InputError(
            f"informed({getattr(model, '__name__', model)}): a model of your own needs one dataset that shows its "
            "arguments: like={...}, argument name -> array with rows first"
        )
    return like


def _only_for_builtin(options: Mapping[str, Any]) -> InputError:
    name = next(iter(options), "columns")
    return InputError(f"informed: '{name}' is for built-in models; set the defaults of your own instead")


def _structure(
    model: Model, example: Mapping[str, Any], scales: Collection[str] | None, *, check: bool
) -> Structure | Unstructured:
    """What was read off the model, once for each model."""
    for name in scales or ():
        lookup("latent site", name, dict.fromkeys(site.name for site in model.space.sites))
    key = model, None if scales is None else tuple(scales), check
    with _lock:
        if key in _structures:
            _structures.move_to_end(key)
            return _structures[key]
    try:
        structure = _find_in_either(model, example, scales, check=check)
    except NotInformedError as error:
        raise InputError(
            f"no informed posterior given {list(scales or ())}: {error}. Name other scales, or none"
        ) from error
    with _lock:
        _structures[key] = structure
        while len(_structures) > MOST_KEPT:
            _structures.popitem(last=False)
    return structure


def _find_in_either(
    model: Model, example: Mapping[str, Any], scales: Collection[str] | None, *, check: bool
) -> Structure | Unstructured:
    """`_find`; with 64 bits where 32 show something unfit, as squares of 1e-30 do."""
    try:
        return _find(model, example, scales, check=check)
    except InputError as error:
        try:
            with precision(True):
                return _find(model, example, scales, check=check)
        except Exception:  # whatever fails there, the first failure is the one to tell
            raise error from None


def _find(
    model: Model, example: Mapping[str, Any], scales: Collection[str] | None, *, check: bool
) -> Structure | Unstructured:
    """The structure, looked at with numbers only where they are needed."""
    try:
        structure = read_structure(model, scales)
    except NotInformedError:
        structure = None
        if scales is not None:
            raise
    few = min(2, len(model.space.sites))  # one that scales others has no twin
    concave = structure is not None and (structure.is_gaussian or len(structure.scale_sites) > 0)
    if structure is not None and concave and not check and len(structure.scale_sites) < few:
        return structure
    names = argument_arrays if model.whole else example_arrays
    arrays = read_arrays(model, {name: example.get(name) for name in names(model.function, example)})
    look = check_whole if model.whole else check_at_rows if check else look_at_rows
    try:
        probe = look(model, arrays)
    except UnsupportedRowsError:
        probe = look(model, _supported_rows(model, arrays))
    if structure is None:
        check_derivatives(model, probe[0])
    # Where the posterior is Gaussian there are no terms, and most others show by their form that they are apart.
    with explained_derivatives(model):
        if structure is not None and (structure.is_gaussian or terms_are_apart(model, structure, probe)):
            try:
                if scales is None:
                    check_scales(model, structure, probe)
                    check_log_concave(model, structure, probe)
                return structure
            except NotInformedError:
                pass
        return find_structure(model, probe, scales, check=check)


def _supported_rows(model: Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows that the model can produce: others say nothing of it, and are refused with the dataset that has them.

    Raises:
        InputError: There are none.
    """
    num_rows = num_rows_in(model, arrays)
    dataset = pad_dataset(model, arrays, num_rows)
    unsupported = jax.device_get(jit(model.unsupported_rows, effort="little")(dataset))
    supported = ~np.any([*unsupported.values(), np.zeros(num_rows, bool)], axis=0)
    if not supported.any():
        refuse_unsupported(model, unsupported, arrays)
    return {name: array[supported] for name, array in arrays.items()}


def _made_up(model: Model) -> dict[str, np.ndarray]:
    """A dataset of a built-in model, whose arguments take any real numbers, or codes from 0."""
    rng = np.random.default_rng(0)
    shapes = {argument.name: (16, *argument.shape) for argument in model.arguments}
    return {
        a.name: rng.normal(size=shapes[a.name]) if a.dtype == "float32" else rng.integers(0, 2, shapes[a.name])
        for a in model.arguments
    }
