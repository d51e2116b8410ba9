"""A table, in a file or as any kind of frame -> a Polars frame, with every way that it can be unfit named.

Polars forgives a lot (it renames duplicate headers, fills short rows with nulls, replaces undecodable header
bytes), and a forgiven mistake becomes a wrong posterior. So the text is looked at here as well.
"""

import csv
import gzip
import io
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import narwhals
import polars as pl

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.cells import counted, is_text, listed, split_cells

__all__ = ["as_frame", "read_table", "without_columns"]

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between cells, and what messages call it."""

_HEAD_BYTES = 65_536
_UNREADABLE = (OSError, EOFError, zlib.error)  # the last two: a gzip stream cut short or damaged
_POLARS_REFUSED = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_DECIMAL_COMMA = r"^[+-]?\d+(,\d+)?([eE][+-]?\d+)?$"


def as_frame(
    table: Any,
    source: str | None = None,
    *,
    text_columns: Collection[str] = (),
    missing: Collection[str] = (),
    default: str = "table",
) -> tuple[pl.DataFrame, str]:
    """A table of any kind as a Polars frame, and what messages call it.

    Args:
        table: The path of a file; or a frame of Polars, pandas, Arrow or any other library that narwhals knows. The
            index of a pandas frame is no column: `reset_index()` makes one of it.
        source: What to call it; the path of a file if None.
        text_columns: As in `read_table`; a frame has its types already.
        missing: As in `read_table`.
        default: What to call a frame.

    Raises:
        InputError: The file cannot be read, or it is no table.
    """
    if isinstance(table, (str, os.PathLike)):
        frame = read_table(table, text_columns=text_columns, missing=missing)
        return frame, source or os.fspath(table)
    source = source or default
    return _blanked(_from_any_frame(table, source), missing), source


def read_table(
    path: str | os.PathLike[str],
    *,
    text_columns: Collection[str] = (),
    missing: Collection[str] = (),
    separator: str | None = None,
    decimal: str | None = None,
    on_guess: Callable[[str], None] = lambda guess: None,
) -> pl.DataFrame:
    """Frame of a CSV (`.csv`, `.csv.gz`) or Parquet (`.parquet`) file.

    Column names lose surrounding blanks. A CSV line without any value is no row.

    Args:
        path: Where the table lies. Messages repeat it as given.
        text_columns: Columns that a CSV's cells are taken from as they are written, so that "05" does not become 5;
            names that are no columns are passed over. A Parquet file has its types already.
        missing: Codes that stand for no value, in all columns.
        separator: Between the cells of a CSV, one character; found out if None: from a first line `sep=;`, or else
            the one of comma, semicolon, tab and bar that splits the header.
        decimal: "." or ","; found out if None.
        on_guess: Told in words what was found out, where it is not the usual.

    Raises:
        InputError: The file is missing, unreadable, empty, of another kind, ragged, or badly headed.
    """
    source = os.fspath(path)
    if not isinstance(source, str):
        raise InputError(f"table: the path {source!r} is bytes; expected text. Decode it.")
    if os.path.isdir(source):
        raise InputError(f"{source}: is a directory; expected one CSV or Parquet file. Name a file inside it.")
    if not os.path.exists(source):
        raise InputError(f"{source}: no such file. Check the spelling and the directory you are in.")
    if not os.path.isfile(source):
        raise InputError(f"{source}: is a pipe or a device; expected a file. Save the table to one, or give it as '-'.")
    is_csv = _is_csv(source)
    if separator is not None and len(separator.encode()) != 1:
        raise InputError(f"--separator '{separator}': expected one character, such as ';'")
    if decimal not in (None, ".", ",") or (decimal == "," == separator):
        raise InputError(f"--decimal '{decimal}': expected . or , and another character than --separator")
    try:
        if os.path.getsize(source) == 0:
            raise InputError(f"{source}: is empty; expected a header line and at least 2 rows.")
        frame = _read_csv(source, text_columns, separator, decimal, on_guess) if is_csv else _read_parquet(source)
    except _UNREADABLE as problem:
        raise InputError(
            f"{source}: cannot be read ({_first_line(problem)}). Check its permissions, or fetch it again."
        ) from None
    if frame.height == 0:
        raise InputError(f"{source}: holds column names but no rows; expected at least 2 rows.")
    return _blanked(frame, missing)


def without_columns(frame: pl.DataFrame, ignored: Collection[str], source: str) -> pl.DataFrame:
    """The frame without some columns.

    Raises:
        InputError: There is no such column.
    """
    for name in ignored:
        if name not in frame.columns:
            raise InputError(
                f"{source}: --ignore '{name}': no such column. Columns: {listed(frame.columns)}."
                f"{did_you_mean(name, frame.columns)}"
            )
    return frame.drop(ignored)


def _is_csv(source: str) -> bool:
    """Whether a file is one by its suffix, and not Parquet."""
    suffixes = {".csv": True, ".csv.gz": True, ".parquet": False}
    for suffix, is_csv in suffixes.items():
        if source.lower().endswith(suffix):
            return is_csv
    suffix = os.path.splitext(source)[1] or "no suffix"
    known = ", ".join(suffixes)
    raise InputError(f"{source}: unknown kind of file ({suffix}); expected {known}. Save the table as one of these.")


def _blanked(frame: pl.DataFrame, missing: Collection[str]) -> pl.DataFrame:
    """The frame with nulls where cells hold a code for a missing value."""
    for column in frame if missing else ():
        if is_text(column):
            stands_for_none = column.cast(pl.String).str.strip_chars().is_in(list(missing))
        elif column.dtype.is_numeric():
            numbers = [number for number in map(_number, missing) if number is not None]
            stands_for_none = column.cast(pl.Float64).is_in(numbers)
        else:
            continue
        frame = frame.with_columns(pl.when(~stands_for_none).then(column).alias(column.name))
    return frame


# --- Frames ---


def _from_any_frame(table: Any, source: str) -> pl.DataFrame:
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    try:
        frame = narwhals.from_native(table, eager_only=True)
    except narwhals.exceptions.DuplicateError as problem:
        raise InputError(f"{source}: duplicate column names: {' '.join(str(problem).split())}. Rename them.") from None
    except TypeError:
        empty = "an empty " if isinstance(table, (Mapping, Sequence)) and not len(table) else ""
        raise InputError(
            f"{source}: got {empty or 'a value of type '}{type(table).__name__}; expected the path of a CSV or Parquet "
            "file, or a frame (Polars, pandas, Arrow, ...). Arrays go in as a dict, one for each argument of the model."
        ) from None
    unnamed = [name for name in frame.columns if not isinstance(name, str)]
    if unnamed:
        raise InputError(
            f"{source}: column name {unnamed[0]!r} is no text but of type {type(unnamed[0]).__name__}; expected text. "
            "Rename it, in pandas by frame.columns = frame.columns.map(str)."
        )
    _refuse_bad_names(frame.columns, source)
    if not frame.implementation.is_pandas_like():
        return frame.to_polars()
    return pl.DataFrame([_from_pandas(frame[name]) for name in frame.columns])


def _from_pandas(column: Any) -> pl.Series:
    """A narwhals column cell by cell: pandas itself can hand text and categories over by PyArrow only."""
    cells = [None if gone else cell for cell, gone in zip(column.to_list(), column.is_null().to_list(), strict=True)]
    kind = column.dtype
    if kind == narwhals.Enum:
        dtype = pl.Enum(kind.categories)
    else:
        dtype = getattr(pl, type(kind).__name__) if kind.is_integer() or kind.is_float() else None
    try:
        return pl.Series(column.name, cells, dtype=dtype)
    except (TypeError, *_POLARS_REFUSED):  # cells of several types: what they look like, as in a CSV
        return pl.Series(column.name, [None if cell is None else str(cell) for cell in cells])


# --- CSV ---


def _read_csv(
    source: str,
    text_columns: Collection[str],
    separator: str | None,
    decimal: str | None,
    on_guess: Callable[[str], None],
) -> pl.DataFrame:
    _refuse_binary(source)
    separator, skipped = _separator(source, separator, on_guess)
    names = _csv_header(source, separator, skipped)
    how: dict[str, Any] = {"separator": separator, "skip_lines": skipped, "glob": False}
    # Without `glob=False` the name "data[1].csv" would mean the file "data1.csv".
    texts = []
    try:
        if text_columns:
            raw = pl.read_csv(source, n_rows=0, **how).columns
            texts = [old for old, name in zip(raw, names, strict=False) if name in text_columns]
            how["schema_overrides"] = dict.fromkeys(texts, pl.String)
        # All rows decide the dtypes: a column of integers may hold its first 0.5 in row 20,000.
        frame = pl.read_csv(source, infer_schema_length=None, decimal_comma=decimal == ",", **how)
        if decimal is None and separator != "," and _has_decimal_commas(frame.drop(texts)):
            on_guess(f"{source}: decimal commas; give --decimal . if they are none")
            frame = pl.read_csv(source, infer_schema_length=None, decimal_comma=True, **how)
    except _POLARS_REFUSED as problem:
        _refuse_ragged(source, len(names), separator, skipped)
        raise InputError(
            f"{source}: is not readable as CSV ({_first_line(problem)}). "
            "Save it again as comma-separated UTF-8 text, with quotes around cells that hold commas."
        ) from None
    if frame.width != len(names):
        raise InputError(
            f"{source}: is not readable as CSV: {counted(len(names), 'name')} in the header, "
            f"{counted(frame.width, 'column')} in the rows. Check the quotes of the header and the line ends."
        )
    frame.columns = names
    if frame.width > 1 and frame[names[-1]].null_count() > 0:
        # Polars fills short rows with nulls, always up to the last column: only then is a second look due.
        _refuse_ragged(source, len(names), separator, skipped)
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return frame


def _separator(source: str, given: str | None, on_guess: Callable[[str], None]) -> tuple[str, int]:
    """What stands between cells, and how many lines come before the header: one where it says `sep=;`."""
    with _plain_lines(source) as lines:
        place, first = next(((place, line.strip()) for place, line in enumerate(lines) if line.strip()), (0, ""))
    stated = re.fullmatch(r"sep=(.)", first)
    if stated is not None:
        return given or stated[1], place + 1
    if given is not None:
        return given, 0
    unquoted = re.sub(r'"[^"]*"', "", first)
    parts = {separator: unquoted.count(separator) for separator in SEPARATORS}
    found = "," if parts[","] else max(SEPARATORS, key=parts.__getitem__)
    if found != ",":
        on_guess(f"{source}: cells are separated by {SEPARATORS[found]}; give --separator if they are not")
    return found, 0


def _has_decimal_commas(frame: pl.DataFrame) -> bool:
    """Whether some column holds numbers with commas only, at least one of which cannot part thousands."""
    for column in frame:
        words = split_cells(column)[1] if is_text(column) else None
        if words is None or len(words) == 0 or not words.str.contains(_DECIMAL_COMMA).all():
            continue
        if words.str.contains(r"^[+-]?0,|,(\d{1,2}|\d{4,})($|[eE])").any():
            return True
    return False


def _csv_header(source: str, separator: str, skipped: int) -> list[str]:
    """Column names of the header line, checked; Polars would rename duplicates without a word."""
    with _csv_records(source, separator, skipped) as records:
        names = [name.strip() for name in next(filter(None, records), [])]
    if not names:
        raise InputError(f"{source}: is empty; expected a header line and at least 2 rows.")
    _refuse_headless(names, source)
    _refuse_bad_names(names, source)
    return names


def _refuse_binary(source: str) -> None:
    with _plain_bytes(source) as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"PAR1"):
        raise InputError(f"{source}: holds Parquet, not CSV. Rename it to end in .parquet.")
    if b"\0" in head:
        raise InputError(
            f"{source}: is not CSV: it holds binary data (a workbook, or UTF-16 text?). "
            "Export it as comma-separated UTF-8 text."
        )


def _refuse_headless(names: Sequence[str], source: str) -> None:
    """Refuse a file that starts with data: its first row would be lost as names.

    Names that are all plain integers pass: tables saved from bare matrices number their columns.
    """
    if all(_number(name) is not None for name in names) and not all(name.isdigit() for name in names):
        raise InputError(
            f"{source}: its first line holds numbers ({listed(names)}); expected column names. Add a header."
        )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _refuse_bad_names(names: Sequence[str], source: str) -> None:
    blank = [position for position, name in enumerate(names, start=1) if not name]
    if blank:
        hint = " An index saved beside the data? Leave it out when saving." if blank[0] == 1 else ""
        raise InputError(f"{source}: column {blank[0]} of {len(names)} has no name in the header. Name it.{hint}")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{source}: duplicate column names {listed(repeated)} in the header. Rename all but one of each."
        )


def _refuse_ragged(source: str, width: int, separator: str, skipped: int) -> None:
    """Refuse the first line that has not `width` cells; blank lines pass."""
    with _csv_records(source, separator, skipped) as records:
        for record in records:
            if len(record) not in (0, width):
                raise InputError(
                    f"{source}: line {skipped + records.line_num} has {counted(len(record), 'cell')}; "
                    f"expected {width}, as in the header. Mend the line, or quote cells that hold "
                    f"{SEPARATORS.get(separator, repr(separator))}."
                )


@contextmanager
def _csv_records(source: str, separator: str, skipped: int) -> Iterator[Any]:
    """The `csv.reader` of a file; what turns out to be no CSV becomes an `InputError`."""
    with _plain_lines(source) as lines:
        for _ in range(skipped):
            next(lines)
        try:
            yield csv.reader(lines, delimiter=separator)
        except csv.Error as problem:
            raise InputError(f"{source}: is not readable as CSV ({problem}). Check its quotes.") from None


@contextmanager
def _plain_lines(source: str) -> Iterator[Iterator[str]]:
    """Lines of a file; what turns out to be no UTF-8 becomes an `InputError`."""
    try:
        with _plain_bytes(source) as file:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    except UnicodeDecodeError as problem:
        byte = problem.object[problem.start]
        raise InputError(f"{source}: is not CSV in UTF-8 (it holds the byte 0x{byte:02x}). Save it in UTF-8.") from None


def _plain_bytes(source: str) -> gzip.GzipFile | io.BufferedReader:
    """The file opened for reading; unpacked when it starts as gzip does, as Polars does whatever the name."""
    with open(source, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(source, "rb") if packed else open(source, "rb")


# --- Parquet ---


def _read_parquet(source: str) -> pl.DataFrame:
    try:
        # Hive partitioning would make a column of a directory named "year=2024".
        frame = pl.read_parquet(source, glob=False, hive_partitioning=False)
    except _POLARS_REFUSED as problem:
        raise InputError(
            f"{source}: is not readable as Parquet ({_first_line(problem)}). Write it again, or give a CSV."
        ) from None
    names = [name.strip() for name in frame.columns]
    _refuse_bad_names(names, source)
    frame.columns = names
    return frame


def _first_line(problem: BaseException) -> str:
    """What another library said, cut to one line."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".:")
