"""`posterity check`: calibration and efficiency of an estimator over its envelope."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import Json, ModelFile, Seed
from posterity.cli.output import check_output, note, print_json, result_console
from posterity.cli.table_request import EstimatorName, load_estimator
from posterity.plain import without_nan

if TYPE_CHECKING:
    from posterity.estimator import Estimator
    from posterity.trust.calibration import CellReport, Coverage

__all__ = ["check"]

Datasets = Annotated[int, typer.Option(min=20, help="Datasets to simulate in each cell.")]
Draws = Annotated[int, typer.Option(min=25, help="Draws of q for each dataset.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT.json", help="Write the report there, too.")]

SIMULATED = "Datasets are simulated from the model, prior included, whatever stream the estimator was trained on."
RAW = "Coverage and SBC judge q as it is, before importance weights correct it."


def check(
    estimator: EstimatorName,
    model: ModelFile = None,
    datasets: Datasets = 200,
    draws: Draws = 500,
    seed: Seed = 0,
    output: Output = None,
    json: Json = False,
) -> None:
    """Check calibration, coverage and importance weights over the envelope."""
    check_output(output, ".json")
    trained = load_estimator(estimator, model)
    cells = _reports(trained, datasets, draws, seed)
    record = {
        "model": trained.problem.name,
        "stream": trained.record.get("stream", {}).get("type"),
        "seed": seed,
        "num_datasets": datasets,
        "num_draws": draws,
        "notes": [SIMULATED, RAW],
        "cells": [cell.to_json() for cell in cells],
    }
    if output is not None:
        _write(record, output)
    if json:
        print_json(record)
    else:
        _print_table(record, cells)
    if output is not None:
        note(f"wrote {output}")


def _reports(trained: "Estimator", datasets: int, draws: int, seed: int) -> "list[CellReport]":
    from jax import random
    from rich.console import Console
    from rich.progress import track

    from posterity.trust.calibration import calibrate, envelope_cells

    cells = envelope_cells(trained.problem.envelope)
    keys = random.split(random.key(seed), len(cells))
    console = Console(stderr=True)
    steps = track(
        list(zip(cells, keys, strict=True)),
        "simulating",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    return [
        calibrate(trained.network, trained.problem, cell, rng_key=key, num_datasets=datasets, num_draws=draws)
        for cell, key in steps
    ]


def _write(record: dict[str, Any], output: Path) -> None:
    from posterity.checks import InputError

    try:
        output.write_text(json_format.dumps(without_nan(record), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"cannot write '{output}': {error.strerror}") from error


def _print_table(record: dict[str, Any], cells: "list[CellReport]") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{record['model']}: {record['num_datasets']} datasets a cell, {record['num_draws']} draws",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    sizes = ["rows", *cells[0].cell.plates]
    for name in (*sizes, "ESS", "k-hat ok", "-log q", "ELBO", "50% has", "90% has", "SBC p"):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        table.add_row(*[Text(text) for text in _row(cell)], style="" if cell.calibrated else "yellow")
    console = result_console()
    console.print(table)
    console.print(
        SIMULATED,
        RAW,
        "SBC p is the smallest of all latents, times their number; cells below 0.001 are marked.",
        style="dim",
    )
    if record["stream"] == "ZScoredTables":
        console.print("It was trained on z-scored tables, which differ from these simulations.", style="dim")


def _row(cell: "CellReport") -> list[str]:
    return [
        str(cell.cell.rows),
        *map(str, cell.cell.plates.values()),
        f"{cell.ess_fraction:.0%}",
        f"{cell.healthy:.0%}",
        f"{cell.forward_nll:.2f}",
        f"{cell.elbo:.1f}",
        _share(cell.coverage["50"]),
        _share(cell.coverage["90"]),
        f"{min(1.0, cell.sbc_p_value * cell.num_latents):.1g}",
    ]


def _share(coverage: "Coverage") -> str:
    return f"{100 * coverage.mean:.0f}±{coverage.error:.0%}"
