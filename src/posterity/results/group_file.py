"""Answers to many datasets in one file, written part by part, so that little is held and nothing is lost.

Until all are there, parts lie in a folder beside the file, with a note of what was asked. Whoever asks the same again
goes on where the parts end; the file is put together at the end, and appears whole or not at all.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import polars as pl

from posterity.results.frames import VERDICTS
from posterity.runtime.errors import InputError
from posterity.runtime.files import replacing

__all__ = ["GroupFile"]

ASKED = "asked.json"


class GroupFile:
    """A Parquet or CSV file in the making, for one process at a time; a context manager."""

    def __init__(self, path: Path, asked: Mapping[str, Any]):
        """Nothing is touched before the context is entered.

        Args:
            path: The file to make; ends in `.parquet` or `.csv`.
            asked: What the answers depend on, in words -> a plain value.
        """
        self._path, self._asked = path, dict(asked)
        self._folder = path.with_name(f"{path.name}.unfinished")
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "GroupFile":
        """Makes the folder, or finds what is in it.

        Raises:
            InputError: The folder cannot be made, is in use, or holds answers to something else.
        """
        with _as_input_error(self._folder):
            self._folder.mkdir(exist_ok=True)
            lock = self._held.enter_context((self._folder / "in-use").open("wb"))
        try:
            _lock(lock, self._folder)
            place = self._folder / ASKED
            if place.exists():
                self._compare(json.loads(place.read_text()))
            else:
                with replacing(place) as unfinished:
                    unfinished.write_text(json.dumps(self._asked, indent=2))
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._held.close()

    def _compare(self, before: Mapping[str, Any]) -> None:
        for what, now in self._asked.items():
            if before.get(what) != now:
                raise InputError(
                    f"'{self._folder}' holds unfinished answers with another {what}: {before.get(what)} then, {now} "
                    "now. Ask the same to go on with them, choose another --output, or delete that folder."
                )

    @property
    def parts(self) -> list[Path]:
        """Files of the parts that are there, in order, up to the first that is missing."""
        found = []
        while (place := self._folder / f"part-{len(found):06d}.parquet").exists():
            found.append(place)
        return found

    def add(self, answers: pl.DataFrame) -> None:
        """Writes the next part: every latent of some datasets with their verdicts, see `FrameRows.to_frame`."""
        content = io.BytesIO()  # a full disk is an error of Python's own file then, not one of Polars
        answers.write_parquet(content)
        with replacing(self._folder / f"part-{len(self.parts):06d}.parquet") as unfinished:
            unfinished.write_bytes(content.getbuffer())

    def verdicts(self) -> pl.DataFrame:
        """One line for each dataset so far, see `FrameRows.verdicts`."""
        none = pl.DataFrame(schema=VERDICTS)
        found = [pl.read_parquet(part, columns=list(VERDICTS)) for part in self.parts]
        return pl.concat([none, *found]).unique("name", keep="first", maintain_order=True)

    def finish(self) -> None:
        """Puts the parts together into the file, and removes the folder.

        Raises:
            InputError: The file cannot be written; the parts stay.
        """
        whole = pl.concat([pl.scan_parquet(part) for part in self.parts], how="diagonal")
        with replacing(self._path) as unfinished, _as_input_error(self._path):
            if self._path.suffix.lower() == ".parquet":
                whole.sink_parquet(unfinished, maintain_order=True)
            else:
                whole.with_columns(pl.col("reasons").list.join(" ")).sink_csv(unfinished, maintain_order=True)
        self._held.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def _as_input_error(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot write '{place}': {error}. Choose a place that you may write to.") from error


def _lock(file: BinaryIO, folder: Path) -> None:
    """Holds the folder for this process until the file is closed; the system lets go where the process dies."""
    try:
        import fcntl
    except ImportError:  # not on Windows, where two processes must be kept apart by whoever starts them
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"'{folder}' is in use: another process writes these answers. Wait for it, or choose another --output."
        ) from None
