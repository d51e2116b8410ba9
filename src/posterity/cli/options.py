"""Options that several commands share, and the small grammars of their values."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer

from posterity.runtime.errors import InputError

__all__ = [
    "Categorical",
    "DropMissing",
    "Family",
    "Json",
    "ModelFile",
    "Priors",
    "Quiet",
    "Seed",
    "Target",
    "Trials",
    "Weights",
    "examples",
    "parse_plates",
    "parse_priors",
    "parse_range",
    "parse_settings",
    "takes_fields_of",
    "without_folders",
]

Command = TypeVar("Command", bound=Callable[..., Any])

Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Decides everything that is drawn.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Target = Annotated[str | None, typer.Option(metavar="COL", help="Column that the observed vector takes.")]
Categorical = Annotated[
    list[str] | None, typer.Option(metavar="COL", help="One-hot encode this column; may be repeated.")
]
DropMissing = Annotated[bool, typer.Option("--drop-missing", help="Leave out rows with a missing cell.")]
Family = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of the response of a formula: normal, bernoulli, poisson, ... (normal if none)."
    ),
]
Priors = Annotated[
    list[str] | None,
    typer.Option("--prior", metavar="LATENT=DIST", help='Of a formula, such as sd="HalfNormal(1)"; may be repeated.'),
]
Trials = Annotated[
    str | None, typer.Option(metavar="COL", help="Trials of each row, for a formula of --family binomial.")
]
Weights = Annotated[str | None, typer.Option(metavar="COL", help="Weight of each row of a formula.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")]
ModelFile = Annotated[
    str | None,
    typer.Option("--model", metavar="FILE.py:FUNCTION", help="Your own model, where the estimator has one."),
]


def examples(*commands: str) -> str:
    """Epilog of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  {command}" for command in commands)


def parse_range(option: str, text: str) -> tuple[int, int]:
    """`LO:HI`, or one number for both ends.

    Raises:
        InputError: It is neither.
    """
    low, _, high = text.partition(":")
    try:
        return int(low), int(high or low)
    except ValueError:
        raise InputError(f"{option} {text}: expected LOW:HIGH, such as 16:128, or one number") from None


def parse_plates(features: str | None, plates: Iterable[str]) -> dict[str, tuple[int, int]]:
    """`--features LO:HI` and every `--plate NAME=LO:HI` together.

    Raises:
        InputError: One of them is something else, or a plate is given twice.
    """
    texts = [*plates, *([f"features={features}"] if features else [])]
    return {name: parse_range(f"--plate {name}=", text) for name, text in _pairs("--plate", texts)}


def parse_settings(option: str, texts: Iterable[str]) -> dict[str, Any]:
    """`name=value` several times; values are read as bool, int, float or else text.

    Raises:
        InputError: One of them has no `=`.
    """
    return {name: _value(text) for name, text in _pairs(option, texts)}


def parse_priors(texts: Iterable[str]) -> dict[str, str] | None:
    """Every `--prior LATENT=DISTRIBUTION` together; None where there is none.

    Raises:
        InputError: One of them has no `=`, or a latent is given twice.
    """
    return dict(_pairs("--prior", texts)) or None


def _pairs(option: str, texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {text}: expected NAME=VALUE")
        if name in seen:
            raise InputError(f"{option} {text}: '{name}' is given twice")
        seen.add(name)
        yield name, value


def _value(text: str) -> bool | int | float | str:
    words: Mapping[str, bool] = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def takes_fields_of(request: type) -> Callable[[Command], Command]:
    """Decorator for a command `f(ctx, **given)`: Typer shall read its parameters off the fields of a class.

    Thirty options are easier on the eye as fields, and can be handed on together.
    """

    def sign(command: Command) -> Command:
        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        fields = inspect.signature(request).parameters.values()
        keywords = [field.replace(kind=inspect.Parameter.KEYWORD_ONLY) for field in fields]
        command.__signature__ = inspect.Signature([context, *keywords])  # pyright: ignore[reportFunctionMemberAccess]
        return command

    return sign


def without_folders(words: Sequence[str]) -> list[str]:
    """The command line, paths cut to their last part: what is written travels, its maker's folders do not."""
    return [re.sub(r"[^=\s]*/(?=[^/])", "", word) for word in words]
