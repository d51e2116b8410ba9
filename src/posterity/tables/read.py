"""A file on disk -> a Polars frame, with every way that the file can be unfit named.

Polars forgives a lot (it renames duplicate headers, fills short rows with nulls, replaces undecodable header
bytes), and a forgiven mistake becomes a wrong posterior. So the text is looked at here as well.
"""

import csv
import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from posterity.runtime.errors import InputError
from posterity.tables.cells import counted, listed

__all__ = ["read_table"]

_HEAD_BYTES = 65_536
_UNREADABLE = (OSError, EOFError, zlib.error)  # the last two: a gzip stream cut short or damaged
_POLARS_REFUSED = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def read_table(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Frame of a CSV (`.csv`, `.csv.gz`) or Parquet (`.parquet`) file.

    Column names lose surrounding blanks. A CSV line without any value is no row.

    Args:
        path: Where the table lies. Messages repeat it as given.

    Raises:
        InputError: The file is missing, unreadable, empty, of another kind, ragged, or badly headed.
    """
    source = os.fspath(path)
    if os.path.isdir(source):
        raise InputError(f"{source}: is a directory; expected one CSV or Parquet file. Name a file inside it.")
    if not os.path.exists(source):
        raise InputError(f"{source}: no such file. Check the spelling and the directory you are in.")
    read = _reader(source)
    try:
        if os.path.getsize(source) == 0:
            raise InputError(f"{source}: is empty; expected a header line and at least 2 rows.")
        frame = read(source)
    except _UNREADABLE as problem:
        raise InputError(
            f"{source}: cannot be read ({_first_line(problem)}). Check its permissions, or fetch it again."
        ) from None
    if frame.height == 0:
        raise InputError(f"{source}: holds column names but no rows; expected at least 2 rows.")
    return frame


def _reader(source: str) -> Callable[[str], pl.DataFrame]:
    """The reader for a file name, by its suffix."""
    for suffix, read in _READERS.items():
        if source.lower().endswith(suffix):
            return read
    suffix = os.path.splitext(source)[1] or "no suffix"
    known = ", ".join(_READERS)
    raise InputError(f"{source}: unknown kind of file ({suffix}); expected {known}. Save the table as one of these.")


# --- CSV ---


def _read_csv(source: str) -> pl.DataFrame:
    names = _csv_header(source)
    try:
        # All rows decide the dtypes: a column of integers may hold its first 0.5 in row 20,000.
        # Without `glob=False` the name "data[1].csv" would mean the file "data1.csv".
        frame = pl.read_csv(source, infer_schema_length=None, glob=False)
    except _POLARS_REFUSED as problem:
        _refuse_ragged(source, len(names))
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
        _refuse_ragged(source, len(names))
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return frame


def _csv_header(source: str) -> list[str]:
    """Column names of the header line, checked; Polars would rename duplicates without a word."""
    _refuse_binary(source)
    with _csv_records(source) as records:
        names = [name.strip() for name in next(filter(None, records), [])]
    if not names:
        raise InputError(f"{source}: is empty; expected a header line and at least 2 rows.")
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and separator in names[0]:
            raise InputError(f"{source}: cells are separated by {word}; expected commas. Save it as comma-separated.")
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
    if all(map(_is_number, names)) and not all(name.isdigit() for name in names):
        raise InputError(
            f"{source}: its first line holds numbers ({listed(names)}); expected column names. Add a header."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def _refuse_ragged(source: str, width: int) -> None:
    """Refuse the first line that has not `width` cells; blank lines pass."""
    with _csv_records(source) as records:
        for record in records:
            if len(record) not in (0, width):
                raise InputError(
                    f"{source}: line {records.line_num} has {counted(len(record), 'cell')}; "
                    f"expected {width}, as in the header. Mend the line, or quote cells that hold commas."
                )


@contextmanager
def _csv_records(source: str) -> Iterator[Any]:
    """The `csv.reader` of a file; what turns out to be no UTF-8 or no CSV becomes an `InputError`."""
    try:
        with _plain_bytes(source) as file:
            yield csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
    except UnicodeDecodeError as problem:
        byte = problem.object[problem.start]
        raise InputError(f"{source}: is not CSV in UTF-8 (it holds the byte 0x{byte:02x}). Save it in UTF-8.") from None
    except csv.Error as problem:
        raise InputError(f"{source}: is not readable as CSV ({problem}). Check its quotes.") from None


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


_READERS: dict[str, Callable[[str], pl.DataFrame]] = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": _read_parquet,
}
