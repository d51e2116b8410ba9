"""The NumPyro program of a formula, as text that people can read, copy and change; and the function that it defines."""

import ast
import keyword
import linecache
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from posterity.model.formula.family import ResponseFamily
from posterity.model.formula.priors import Prior
from posterity.runtime.errors import InputError
from posterity.runtime.plain import printable

__all__ = ["EffectsLayout", "Layout", "run_program", "write_program"]

MODULE = "posterity.formula"
IMPORTS = ("jax", "jax.numpy", "numpyro", "numpyro.distributions")
_WIDTH = 100


@dataclass(frozen=True)
class EffectsLayout:
    """Effects that vary by a group together.

    Attributes:
        site: Sites are `sd_SITE`, `L_SITE` (several effects only) and `u_SITE`.
        index: Argument that holds the group of each row; also the plate.
        argument: Argument that holds the columns; None for an intercept.
        columns: Names of the effects that each group has.
        num_groups: How many groups there are.
    """

    site: str
    index: str
    argument: str | None
    columns: tuple[str, ...]
    num_groups: int


@dataclass(frozen=True)
class Layout:
    """What a program consists of.

    Attributes:
        comments: Lines that stand above it.
        columns: Names of the columns of the fixed part, the intercept not among them.
        has_intercept: Whether there is an intercept.
        effects: What varies by group.
        numbers: Of `offset`, `trials` and `weights` those that there are.
        num_classes: Of an ordinal or categorical response; else 0.
        intercept_at: Where the default prior of the intercept is centred.
    """

    comments: tuple[str, ...]
    columns: tuple[str, ...]
    has_intercept: bool
    effects: tuple[EffectsLayout, ...]
    numbers: tuple[str, ...] = ()
    num_classes: int = 0
    intercept_at: float = 0.0

    @property
    def arguments(self) -> tuple[str, ...]:
        """Covariates of the program, in order."""
        groups = [name for term in self.effects for name in (term.index, term.argument) if name is not None]
        return tuple(dict.fromkeys([*(["x"] if self.columns else []), *groups, *self.numbers]))


def write_program(layout: Layout, family: ResponseFamily, priors: Mapping[str, Prior]) -> str:
    """The program's text: imports, and the function `model`.

    Args:
        layout: What it consists of.
        family: Of the response.
        priors: Latent -> prior, from `priors_of`.

    Raises:
        InputError: A name cannot be one of a program.
    """
    names = [*layout.arguments, *(name for term in layout.effects for name in (term.site, term.index))]
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InputError(f"formula: '{name}' cannot name an argument of a program; rename the column")
    by_class = family.location == "classes"
    body = [
        *_location(layout, family, priors),
        *(line for term in layout.effects for line in _effects(term, by_class, priors)),
        *(_sample(name, priors[name].source) for name in family.own),
        "",
        *_predictor(layout, family),
        f'with numpyro.plate("observations", {_first(layout)}.shape[0]):',
        f'    numpyro.sample("y", {_likelihood(layout, family)}, obs=y)',
    ]
    text = "\n".join([_signature(layout, by_class), *(f"    {line}" if line else "" for line in body)])
    imports = ["import jax.numpy as jnp"] if "jnp." in text else []
    imports = ["import jax", *imports] if "jax.nn" in text else imports
    head = [*imports, "import numpyro", "import numpyro.distributions as dist", "", ""]
    return "\n".join([*head, *(f"# {_in_one_line(line)}" for line in layout.comments), text, ""])


def _in_one_line(comment: str) -> str:
    """A comment that ends where it should: names of columns may hold line breaks, and what follows would be run."""
    return printable(comment).replace("\n", "\\n")


def run_program(source: str, name: str) -> Callable[..., Any]:
    """The function `model` that a program defines.

    Args:
        source: From `write_program`.
        name: What messages call it.
    """
    filename = f"<formula {zlib.crc32(source.encode()):08x}>"
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename  # for tracebacks
    _refuse_more_than_a_model(source)
    namespace: dict[str, Any] = {"__name__": MODULE}
    exec(compile(source, filename, "exec"), namespace)
    function = namespace["model"]
    function.__name__ = function.__qualname__ = name
    function.program_text = source  # what a pickle holds of it
    return function


def _refuse_more_than_a_model(source: str) -> None:
    """Nothing of a table may become a statement: a program is imports of four modules, and one function.

    Raises:
        InputError: There is something else.
    """
    try:
        *imports, function = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise InputError("formula: names of columns or levels make no program; rename them") from error
    known = all(isinstance(node, ast.Import) and all(a.name in IMPORTS for a in node.names) for node in imports)
    if not (known and isinstance(function, ast.FunctionDef) and function.name == "model"):
        raise InputError("formula: names of columns or levels make another program than the formula's; rename them")


def _first(layout: Layout) -> str:
    """An argument that knows the number of rows."""
    return (*layout.arguments, "y")[0]


def _signature(layout: Layout, by_class: bool) -> str:
    words = [*layout.arguments, "y=None" if layout.arguments else "y"]
    sizes = {f"num_{term.index}": term.num_groups for term in layout.effects}
    if by_class:
        sizes["num_classes"] = layout.num_classes
    if sizes:
        words += ["*", *(f"{name}={size}" for name, size in sizes.items())]
    line = f"def model({', '.join(words)}):"
    return line if len(line) <= _WIDTH else "\n".join(["def model(", *(f"    {word}," for word in words), "):"])


def _sample(name: str, distribution: str) -> str:
    return f'{name} = numpyro.sample("{name}", {distribution})'


def _location(layout: Layout, family: ResponseFamily, priors: Mapping[str, Prior]) -> Iterator[str]:
    """Intercept or cutpoints, and slopes."""
    classes = 'numpyro.plate("classes", num_classes - 1)'
    if family.location == "cutpoints":
        yield from _cutpoints(layout.num_classes, priors)
    elif layout.has_intercept and family.location == "classes":
        yield from (f"with {classes}:", f"    {_sample('Intercept', priors['Intercept'].source)}")
    elif layout.has_intercept:
        yield _sample("Intercept", priors["Intercept"].source)
    if layout.columns:
        plates = 'numpyro.plate("columns", x.shape[-1])'
        if family.location == "classes":
            plates = f"{plates[:-1]}, dim=-2), {classes[:-1]}, dim=-1)"
        slopes = priors["b"].along("[:, None]" if family.location == "classes" else "")
        yield from (f"with {plates}:", f"    {_sample('b', slopes)}")


def _cutpoints(num_classes: int, priors: Mapping[str, Prior]) -> Iterator[str]:
    """The first is normal, and the gaps between neighbours are log-normal."""
    first, gap = priors["cutpoints"], priors.get("gaps", priors["cutpoints"])  # two classes have no gap
    both = [f"jnp.append({first[n]}, jnp.full({num_classes - 2}, {gap[n]}))" for n in ("loc", "scale")]
    yield f"first_and_log_gaps = dist.Normal({both[0]}, {both[1]})"
    yield "ordered = dist.transforms.OrderedTransform()"
    yield _sample("cutpoints", "dist.TransformedDistribution(first_and_log_gaps, ordered)")


def _effects(term: EffectsLayout, by_class: bool, priors: Mapping[str, Prior]) -> Iterator[str]:
    """Sds, correlations and effects of one bar term, centred: effects are drawn with their sd."""
    sd, factor, effects = f"sd_{term.site}", f"L_{term.site}", f"u_{term.site}"
    groups = f'numpyro.plate("{term.index}", num_{term.index})'
    prior = priors[sd].source
    if by_class:
        classes = 'numpyro.plate("classes", num_classes - 1'
        yield from (f"with {classes}):", f"    {_sample(sd, prior)}")
        yield f"with {groups[:-1]}, dim=-2), {classes}, dim=-1):"
        yield f"    {_sample(effects, f'dist.Normal(0.0, {sd})')}"
        return
    if len(term.columns) == 1:
        yield _sample(sd, prior)
        yield from (f"with {groups}:", f"    {_sample(effects, f'dist.Normal(0.0, {sd})')}")
        return
    concentration = priors[f"cor_{term.site}"]["concentration"]
    size = len(term.columns)
    yield _sample(sd, f"{prior}.to_event(1)" if priors[sd].is_vector else f"{prior}.expand([{size}]).to_event(1)")
    yield _sample(factor, f"dist.LKJCholesky({size}, concentration={concentration})")
    yield f"with {groups}:"
    yield f"    {effects} = numpyro.sample("
    yield f'        "{effects}", dist.MultivariateNormal(0.0, scale_tril={sd}[:, None] * {factor})'
    yield "    )"


def _predictor(layout: Layout, family: ResponseFamily) -> Iterator[str]:
    """The line of `eta`."""
    by_class = family.location == "classes"
    parts = ["Intercept"] if layout.has_intercept and family.location != "cutpoints" else []
    parts += ["x @ b"] if layout.columns else []
    for term in layout.effects:
        own = f"u_{term.site}[{term.index}]"
        if term.argument is None:
            parts.append(own)
        elif len(term.columns) == 1:
            parts.append(f"{term.argument}[:, None] * {own}" if by_class else f"{term.argument} * {own}")
        else:
            parts.append(f"jnp.sum({term.argument} * {own}, axis=-1)")
    parts += ["offset"] if "offset" in layout.numbers else []
    if not [part for part in parts if part != "Intercept"]:  # nothing has rows yet
        shape = "(y.shape[0], num_classes - 1)" if by_class else f"{_first(layout)}.shape[0]"
        parts.append(f"jnp.zeros({shape})")
    line = f"eta = {' + '.join(parts)}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield from ("eta = (", f"    {parts[0]}", *(f"    + {part}" for part in parts[1:]), ")")


def _likelihood(layout: Layout, family: ResponseFamily) -> str:
    return family.weighted if "weights" in layout.numbers and family.weighted else family.likelihood
