"""Posteriors of many datasets by name."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from posterity.inference.posterior import Posterior
from posterity.results.frames import FrameRows
from posterity.results.to_json import posterior_to_json
from posterity.runtime.errors import lookup

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Posteriors"]


class Posteriors(Mapping[str, Posterior]):
    """Name of a dataset -> its posterior; they are independent of each other and in the order of the table."""

    def __init__(self, posteriors: Iterable[Posterior]):
        """Posteriors with names, no two alike.

        Args:
            posteriors: In the order to keep.
        """
        self._by_name = {str(posterior.name): posterior for posterior in posteriors}

    def __getitem__(self, name: str) -> Posterior:
        """The posterior of one dataset.

        Raises:
            InputError: There is none of that name.
        """
        return lookup("dataset", name, self._by_name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {verdict}" for verdict, number in self.counts.items() if number)
        return f"Posteriors of {len(self)} datasets: {counts}"

    def _repr_html_(self) -> str:
        from posterity.report.notebook import posteriors_html

        return posteriors_html(self._by_name, repr(self))

    @property
    def counts(self) -> dict[str, int]:
        """Datasets with each verdict."""
        verdicts = [posterior.verdict for posterior in self._by_name.values()]
        return {verdict: verdicts.count(verdict) for verdict in ("corrected", "refined", "untrusted", "unanswered")}

    def verdicts(self) -> "pl.DataFrame":
        """One line for each dataset: rows, verdict, k-hat, effective sample size, log evidence (nats), reasons."""
        return self._rows().verdicts

    def summary(self) -> "pl.DataFrame":
        """One line for each dataset and scalar latent: mean, sd and quantiles, and in the table's units where known."""
        return self._rows().latents

    def to_frame(self) -> "pl.DataFrame":
        """Both as one: every latent with the verdict of its dataset; one line for a dataset without an answer."""
        return self._rows().to_frame()

    def report(self, path: str | Path, *, title: str | None = None, command: str | None = None) -> None:
        """Writes a report on all datasets as one HTML file: verdicts, who stands apart, what sharing a prior would do.

        That on one of them is `posteriors[name].report(path)`.

        Args:
            path: The file; replaced if it is there.
            title: Heading; the number of datasets if None.
            command: How the posteriors were made, for the last section.

        Raises:
            InputError: `path` cannot be written.
        """
        from posterity.report.groups import write_groups_report

        write_groups_report(self.to_frame(), path, title=title or f"{len(self)} datasets", command=command)

    def _rows(self) -> FrameRows:
        return FrameRows(posterior_to_json(posterior) for posterior in self._by_name.values())
