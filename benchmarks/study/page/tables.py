"""The paper's tables cell by cell: its number, ours, the reference and a verdict."""

from collections.abc import Iterable, Sequence

from report_text import table

from study.judging.paper_cells import NETWORKS, Cell, label, paper_steps
from study.judging.values import Study
from study.judging.verdicts import MEASURES, WORDS, judge, reference_of
from study.methods.networks import ENCODER_OPTIONS
from study.page.words import number, ours, paper, steps
from study.presets import PRESETS

__all__ = ["compact_section", "counts_table", "findings", "full_section", "training_lengths"]

FULL = {
    "1": "fixed dimension",
    "2": "variable dimension",
    "3": "real tables",
    "4": "misspecification",
    "5": "symmetric KL",
    "6": "W2",
}
COMPACT = {
    "7-14": "fixed dimension, all columns that are not in Table 1",
    "15-22": "variable dimension, all columns that are not in Table 2",
    "23-24": "misspecification, all training streams",
}
NOTES = {
    "3": "The paper's values are plain averages over nine regression and thirteen classification tables. Ours are over "
    "those of them that are at hand, and cannot be compared with the paper's while some are missing; they can be with "
    "each other, as they are under the claims.",
    "5": "The exact posterior is known here; its own value is 0.",
    "6": "Two finite sets of draws of one distribution are apart, too, and the further the fewer they are: the floor "
    "is what two sets of reference draws give, as many as are compared. The paper compares 2500 draws with its "
    "Langevin draws, ours are compared with the exact posterior's or with NUTS, fewer of them in smaller presets. So a "
    "value near the floor cannot be told from the posterior, and only values well above it compare. NUTS takes long "
    f"for neural networks: the laptop preset has references of their first {PRESETS['laptop'].neural_references} of "
    f"{PRESETS['laptop'].num_datasets} test datasets, which their NUTS rows are over, too. NUTS keeps every eighth "
    "draw; older references kept every draw: those of NLC 2D and of LC 100D, and those that networks' distances were "
    "taken to on LC 2D, NLR 1D and GMM 2D.",
}
MARKS = {"reproduced": "R", "improved": "I", "not reproduced": "N"}
COLUMNS_SIDE_BY_SIDE = 5


def of_table(cells: Iterable[Cell], name: str) -> list[Cell]:
    """The cells of one table."""
    return [cell for cell in cells if cell.table == name]


def counts_table(study: Study, cells: Sequence[Cell]) -> str:
    """How many cells got which verdict, table by table."""
    body = []
    for name in [*FULL, *COMPACT]:
        found = [judge(cell, study) for cell in of_table(cells, name)]
        words = [verdict.word for verdict in found]
        run, wide = len(words) - words.count("not run"), sum(verdict.wide for verdict in found)
        body.append([name, *map(str, (len(words), run, *(words.count(word) for word in WORDS), wide))])
    total = ["all", *(str(sum(int(line[i]) for line in body)) for i in range(1, len(body[0])))]
    return table(["table", "cells", "run", *WORDS, "reproduced, but too wide to tell much"], [*body, total])


def findings(study: Study, cells: Sequence[Cell]) -> str:
    """What came of all cells, in one paragraph."""
    words = [judge(cell, study).word for name in [*FULL, *COMPACT] for cell in of_table(cells, name)]
    run = len(words) - words.count("not run")
    steps = [(n, n / p) for key in study if key.method in NETWORKS
             and (n := study.steps(key)) and (p := paper_steps(key.setup, key.column))]  # fmt: skip
    shares = [share for _, share in steps] or [0.0]
    trained = (
        steps
        and f" with {len(steps)} networks, trained for {min(shares):.1%} to {max(shares):.1%} of the paper's steps"
    )
    return (
        f"**What was found.** Of the paper's {len(words):,} numbers, {run:,} were run again here{trained or ''}: "
        f"{words.count('reproduced')} are reproduced, {words.count('improved')} improved, "
        f"{words.count('not reproduced')} not reproduced, and {words.count('not comparable')} cannot be compared. Much "
        "shorter training sets values apart by itself, so that most of what is not reproduced says nothing against the "
        "paper; the questions at the end of the page are answered as far as such networks allow."
    )


def training_lengths(study: Study) -> str:
    """How long the networks behind each preset were trained, beside the paper's."""
    found: dict[str, list[tuple[int, float]]] = {}
    for key in study:
        count, papers = study.steps(key), paper_steps(key.setup, key.column)
        if count and papers and key.method in NETWORKS:
            found.setdefault(study.preset(key), []).append((count, count / papers))
    body = []
    for preset, lengths in found.items():
        counts, shares = zip(*lengths, strict=True)
        body.append([preset, str(len(lengths)), f"{min(counts):,} to {max(counts):,}",
                     f"{min(shares):.2%} to {max(shares):.2%}"])  # fmt: skip
        body[-1] += [_size(preset), _size("paper")]
    header = ["preset", "networks", "training steps", "share of the paper's steps", "Transformer", "in the paper"]
    return table(header, body) if body else "No network has been trained for this page yet."


def _size(preset: str) -> str:
    """What a Transformer of a preset can hold."""
    size = ENCODER_OPTIONS[preset]["transformer"]
    return f"{size['depth']} blocks of width {size['width']}, embedding of {size['embedding_size']}"


def full_section(study: Study, cells: Sequence[Cell], name: str) -> str:
    """One of Tables 1 to 6, every cell a line."""
    chosen = of_table(cells, name)
    parts = [f"## Table {name}: {FULL[name]}", *([NOTES[name]] if name in NOTES else [])]
    for column in dict.fromkeys(cell.column for cell in chosen):
        found = [cell for cell in chosen if cell.column == column]
        parts += [_column_heading(study, found), _column_table(study, found)]
    return "\n\n".join(parts)


def _column_heading(study: Study, cells: Sequence[Cell]) -> str:
    cell = cells[0]
    reference = reference_of(study, cell.setup, cell.column, cell.measure)
    known = f"{label(reference.method)}: {number(reference.value)}" if reference else "no reference yet"
    return f"**{cell.column}** ({MEASURES[cell.measure]}; {known})"


def _column_table(study: Study, cells: Sequence[Cell]) -> str:
    reference = reference_of(study, cells[0].setup, cells[0].column, cells[0].measure)
    exact = reference.value if reference and reference.exact else None
    header = ["method", "paper", "ours", *(["paper to exact", "ours to exact"] if exact is not None else []),
              "steps, preset", "verdict", "reason"]  # fmt: skip
    body = []
    for cell in cells:
        found, verdict = study.estimate(cell.key, cell.measure), judge(cell, study)
        distances = []
        if exact is not None:
            distances = [number(abs(cell.value - exact)), number(abs(found.value - exact)) if found else ""]
        body.append([label(*cell.key[2:]), paper(cell), ours(found), *distances,
                     steps(study, cell.key) if found else "", verdict.word, verdict.reason])  # fmt: skip
    return table(header, body)


def compact_section(study: Study, cells: Sequence[Cell], name: str) -> str:
    """Tables 7 to 24: the paper's number, ours and the verdict's letter, methods by columns."""
    chosen = of_table(cells, name)
    columns = list(dict.fromkeys(cell.column for cell in chosen))
    blocks = [columns[i : i + COLUMNS_SIDE_BY_SIDE] for i in range(0, len(columns), COLUMNS_SIDE_BY_SIDE)]
    tables = [_compact_table(study, [c for c in chosen if c.column in block], block) for block in blocks]
    legend = "The paper's number, then ours and its verdict (R reproduced, I improved, N not reproduced); the paper's "
    legend += "number alone: not run. Losses, for LC and NLC accuracies in percent. Last line: the best reference."
    return "\n\n".join([f"## Tables {name}: {COMPACT[name]}", legend, *tables])


def _compact_table(study: Study, cells: Sequence[Cell], columns: Sequence[str]) -> str:
    methods = sorted({cell.key[2:] for cell in cells}, key=_method_order)
    by_place = {(cell.key[2:], cell.column): cell for cell in cells}
    body = [
        [label(*method), *(_compact_entry(study, by_place.get((method, column))) for column in columns)]
        for method in methods
    ]
    references = [reference_of(study, cells[0].setup, c, _measure(cells, c)) for c in columns]
    last = [f"{number(found.value)} ({label(found.method)})" if found else "" for found in references]
    return table(["method", *columns], [*body, ["reference", *last]])


def _method_order(method: tuple[str, str]) -> tuple[int, str]:
    """Baselines, then networks as in the paper; the model's own stream before others."""
    order = ("prior", "mle", "langevin", "hmc", *NETWORKS)
    return order.index(method[0]), "" if method[1] == "own" else method[1]


def _measure(cells: Sequence[Cell], column: str) -> str:
    return next(cell.measure for cell in cells if cell.column == column)


def _compact_entry(study: Study, cell: Cell | None) -> str:
    if cell is None:
        return ""
    found = study.estimate(cell.key, cell.measure)
    if found is None:
        return cell.printed
    return f"{cell.printed}; {number(found.value)} {MARKS[judge(cell, study).word]}"
