"""A formula in the notation of lme4 -> its parts: response, fixed part, bar terms, offset, trials.

    y ~ x1 + log(x2) + offset(log(hours)) + (1 + x1 | school) + (1 | region/town)
    cbind(dead, size - dead) ~ period + (1 | herd)

The fixed part stays text, for formulaic; here only the bar terms are taken out of it, which it does not know.
"""

import os
from dataclasses import dataclass

from posterity.runtime.errors import InputError
from posterity.tables.cells import listed
from posterity.tables.formula.syntax import columns_in, is_enclosed, names_in, plain_name, split_at, whole_call

__all__ = ["Bar", "Formula", "names_formula", "parse_formula"]


@dataclass(frozen=True)
class Bar:
    """One bar term, `(effects | factors)`.

    Attributes:
        effects: What varies, a formula without a response: `1`, `1 + x`, `0 + x`.
        factors: Columns whose combined levels tell the groups apart: one, or several for `a:b`.
        correlated: Its effects are correlated; `||` says that they are not.
    """

    effects: str
    factors: tuple[str, ...]
    correlated: bool = True

    @property
    def group(self) -> str:
        """What the groups are called: `batch:cask`."""
        return ":".join(self.factors)


@dataclass(frozen=True)
class Formula:
    """A formula's parts.

    Attributes:
        text: The formula, blanks tidied.
        response: Column or expression on the left; of `cbind(a, b)` the first, the successes.
        fixed: The right side without bar terms and offsets; "1" if nothing else is left.
        bars: Bar terms in their order, with `a/b` written out as `a` and `a:b`.
        offsets: Expressions that are added to the predictor as they are.
        trials: Expression for the trials of a binomial response; None where the formula has none.
    """

    text: str
    response: str
    fixed: str
    bars: tuple[Bar, ...]
    offsets: tuple[str, ...] = ()
    trials: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that it mentions, each once."""
        texts = [self.response, self.fixed, *(bar.effects for bar in self.bars), *self.offsets, self.trials or ""]
        return tuple(dict.fromkeys([*columns_in(texts), *self.factors]))

    @property
    def factors(self) -> tuple[str, ...]:
        """Columns of all groups, each once."""
        return tuple(dict.fromkeys(factor for bar in self.bars for factor in bar.factors))


def names_formula(text: str) -> bool:
    """Whether a text is a formula, and not the name of a model or a path: it has two sides of a `~`."""
    left, tilde, right = text.partition("~")
    return bool(tilde and left.strip() and right.strip()) and not os.path.exists(text)


def parse_formula(text: str) -> Formula:
    """Parts of a formula.

    Raises:
        InputError: It is none; the message names the part and the cure.
    """
    where = f"formula '{' '.join(text.split())}'"
    sides = [piece for _, piece in split_at(text, "~", where)]
    if len(sides) != 2 or not all(sides):
        raise InputError(f"{where}: expected RESPONSE ~ TERMS with one '~', such as 'y ~ x + (1 | school)'")
    response, trials = _response(sides[0], where)
    fixed, bars, offsets = [], [], []
    for sign, term in _signed_terms(sides[1], where):
        if is_enclosed(term, where) and len(split_at(term[1:-1], "|", where)) > 1:
            _refuse_minus(sign, term, where)
            bars += _bars(term, where)
        elif (offset := whole_call(term, "offset", where)) is not None:
            _refuse_minus(sign, term, where)
            offsets.append(offset)
        else:
            _refuse_stray_bars(term, where)
            fixed.append(f"{sign} {term}")
    rest = " ".join(fixed).removeprefix("+ ") or "1"
    found = Formula(" ".join(text.split()), response, rest, tuple(bars), tuple(offsets), trials)
    _refuse_response_on_the_right(found, where)
    return found


def _signed_terms(right: str, where: str) -> list[tuple[str, str]]:
    """Terms of the right side with the sign before each."""
    pieces = split_at(right, "+-", where)
    if pieces[0] == ("", "") and len(pieces) > 1:  # it starts with a sign
        pieces = pieces[1:]
    for sign, term in pieces:
        if not term:
            raise InputError(f"{where}: there is nothing after '{sign or '~'}'. Add a term, or remove the sign")
        if term == ".":
            raise InputError(f"{where}: '.' is not taken, since groups are columns too. Name the columns one by one")
    return [(sign or "+", term) for sign, term in pieces]


def _response(left: str, where: str) -> tuple[str, str | None]:
    """Response and trials: of `cbind(a, b)` a out of a + b, of `a | trials(n)` a out of n."""
    inside = whole_call(left, "cbind", where)
    if inside is not None:
        both = [piece for _, piece in split_at(inside, ",", where)]
        if len(both) != 2 or not all(both):
            raise InputError(f"{where}: expected cbind(SUCCESSES, FAILURES), two expressions; got '{left}'")
        return both[0], f"({both[0]}) + ({both[1]})"
    parts = [piece for _, piece in split_at(left, "|", where)]
    if len(parts) == 1:
        return left, None
    trials = whole_call(parts[1], "trials", where) if len(parts) == 2 else None
    if trials is None or not parts[0]:
        raise InputError(
            f"{where}: a bar on the left is for trials alone, as in 'dead | trials(size) ~ x'; got '{left}'"
        )
    return parts[0], trials


def _bars(term: str, where: str) -> list[Bar]:
    """The bar terms that one stands for: two for `(1 | a/b)`."""
    parts = split_at(term[1:-1], "|", where)
    effects, groups, correlated = parts[0][1], parts[-1][1], True
    if len(parts) == 3 and not parts[1][1] and "||" in term:
        correlated = False
    elif len(parts) != 2:
        raise InputError(
            f"{where}: '{term}' has {len(parts) - 1} bars. Write one term for each group: (1 | a) + (1 | b)"
        )
    if not effects or not groups:
        side = "effects before" if not effects else "group after"
        raise InputError(f"{where}: '{term}' has no {side} its bar. Write it as (1 + x | group)")
    if any(len(split_at(effects, mark, where)) > 1 for mark in "~|"):
        raise InputError(f"{where}: '{effects}' in '{term}' is not a sum of effects. Write it as (1 + x | group)")
    return [Bar(effects, factors, correlated) for factors in _groups(groups, term, where)]


def _groups(text: str, term: str, where: str) -> list[tuple[str, ...]]:
    """Factors of each group that the right side of a bar stands for."""
    nested = [_factors(piece, term, where) for _, piece in split_at(text, "/", where)]
    groups = [sum(nested[: depth + 1], ()) for depth in range(len(nested))]
    for group in groups:
        if len(set(group)) < len(group):
            raise InputError(f"{where}: '{term}' names a group twice. Name each once")
    return groups


def _factors(text: str, term: str, where: str) -> tuple[str, ...]:
    factors = [plain_name(piece) for _, piece in split_at(text, ":", where)]
    if None in factors:
        raise InputError(
            f"{where}: '{text}' in '{term}' is no group. A group is a column, a:b for the combinations of two, or a/b "
            "for b within a; for several groups write several terms, (1 | a) + (1 | b)"
        )
    return tuple(name for name in factors if name is not None)


def _refuse_minus(sign: str, term: str, where: str) -> None:
    if sign == "-":
        raise InputError(f"{where}: '{term}' can only be added. Leave it out instead of subtracting it")


def _refuse_stray_bars(term: str, where: str) -> None:
    """Bars outside brackets, and bar terms that are multiplied."""
    if len(split_at(term, "|", where)) > 1:
        raise InputError(f"{where}: the bar in '{term}' needs brackets: (x | group)")
    for mark in "*:/^%":
        for _, piece in split_at(term, mark, where):
            if piece != term and is_enclosed(piece, where) and len(split_at(piece[1:-1], "|", where)) > 1:
                raise InputError(f"{where}: '{piece}' can only be added to other terms, not joined by '{mark}'")


def _refuse_response_on_the_right(formula: Formula, where: str) -> None:
    """The response explains nothing of itself."""
    own = set(columns_in([formula.response]))
    right = [formula.fixed, *formula.offsets, *(bar.effects for bar in formula.bars)]
    used = {name.text for part in right for name in names_in(part)} | set(formula.factors)
    if own & used:
        raise InputError(
            f"{where}: the response {listed(sorted(own & used))} stands on the right side, too. Remove it there"
        )
