"""`posterity models`: what ships."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from posterity.cli.options import Json
from posterity.cli.output import print_json, result_console

__all__ = ["models"]

Seed = Annotated[int, typer.Option(min=0, help="Accepted by every command; listing draws nothing.")]


def models(as_json: Json = False, seed: Seed = 0) -> None:
    """List the built-in models, the families of formulas, and what answers them without training."""
    known = {"models": _builtin_models(), "families": _families(), "row_network": _row_network()}
    if as_json:
        print_json(known)
        return
    console = result_console()
    console.print(_model_table(known["models"]))
    console.print(_family_table(known["families"]))
    console.print(_network_line(known["row_network"]), highlight=False)
    console.print("for the others, make an estimator with: posterity train MODEL -o OUT", highlight=False)


def _builtin_models() -> list[dict[str, Any]]:
    from posterity.model.builtin import MODELS

    return [
        {
            "name": name,
            "summary": entry.summary,
            "informed": entry.informed,
            "options": entry.options,
            "envelope": {"rows": list(entry.rows), "plates": {entry.plate: list(entry.columns)}},
        }
        for name, entry in MODELS.items()
    ]


def _families() -> list[dict[str, str]]:
    """Families of responses that a formula may have."""
    from posterity.model.formula import RESPONSE_FAMILIES

    return [{"name": name, "summary": entry.summary} for name, entry in RESPONSE_FAMILIES.items()]


def _row_network() -> dict[str, Any]:
    """What answers models without training; read as JSON, since JAX takes a second to import."""
    folder = Path(str(resources.files("posterity.informed_posterior.bend"))) / "shipped"
    record = json.loads((folder / "network.json").read_text())["record"]
    rows, latents, _ = zip(*record["sizes"], strict=True)
    return {
        "num_params": record["num_params"],
        "bytes": sum(file.stat().st_size for file in folder.iterdir()),
        "trained_for": {"rows": max(rows), "latents": max(latents)},
        "seconds": record["seconds"],
        "device": record["device"],
        "command": record["command"],
        "created": record["created"],
    }


def _network_line(network: Mapping[str, Any]) -> str:
    most = network["trained_for"]
    return (
        f"without training: a row network of {network['num_params']} weights ({network['bytes'] / 1e3:.0f} kB), "
        f"pretrained for up to {most['rows']} rows and {most['latents']} latents in {network['seconds'] / 60:.0f} "
        f"minutes ({network['device']}) by\n  {network['command']}\n"
    )


def _model_table(entries: list[dict[str, Any]]) -> Any:
    table = _table("built-in models", "name", "what it is", "answered", "options", "trained by default for")
    for entry in entries:
        options = ", ".join(f"{name}={value}" for name, value in entry["options"].items())
        answered = "without training" if entry["informed"] else "after training"
        table.add_row(*_cells(entry["name"], entry["summary"], answered, options or "-", _sizes(entry["envelope"])))
    return table


def _family_table(entries: list[dict[str, str]]) -> Any:
    table = _table("formulas, such as 'y ~ x + (1 | school)' --family NAME", "name", "response")
    for entry in entries:
        table.add_row(*_cells(entry["name"], entry["summary"]))
    return table


def _table(title: str, *columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    return table


def _cells(*texts: str) -> list[Any]:
    from rich.text import Text

    return [Text(text) for text in texts]  # Text, since Rich would read brackets as markup


def _sizes(envelope: Mapping[str, Any]) -> str:
    sizes = {"rows": envelope["rows"], **envelope["plates"]}
    return ", ".join(f"{name} {low}..{high}" if low < high else f"{name} {low}" for name, (low, high) in sizes.items())
