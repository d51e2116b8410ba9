"""Section on the compiler: which distributions XLA gets wrong, and whether the library's options mend it."""

import json

from report_text import Row, provenance, table
from rows import read

__all__ = ["compiler_section"]


def compiler_section() -> str:
    """Distributions that are compiled wrongly, by XLA's own options or by the library's."""
    rows = {(row["distribution"], row["way"]): row for row in read("compiler")}
    if not rows:
        return ""
    names = sorted({name for name, _ in rows})
    pairs = {name: (rows[name, "default"], rows[name, "library"]) for name in names}
    wrong = {name: pair for name, pair in pairs.items() if any(row["wrong"] for row in pair)}
    head = ["distribution", "wrong draws", "the first of them", "largest error, nats", "wrong draws by the library's "
            "options", "largest error, nats"]  # fmt: skip
    body = [[name, *_cells(own), *_cells(ours)[::2]] for name, (own, ours) in wrong.items()]
    right = [sum(row["wrong"] == 0 for row in column) for column in zip(*pairs.values(), strict=True)]
    last = rows[names[-1], "library"]
    told = (
        f"Of {len(names)} distributions, {right[0]} are right at every draw by XLA's own options and {right[1]} by the "
        f"library's, `{json.dumps(last['options'])}`; jaxlib {last['jaxlib']}, NumPyro {last['numpyro']}."
    )
    return "\n\n".join(
        [
            "## What XLA's CPU compiler gets wrong",
            f"`python benchmarks/compiler.py`: `jit(vmap(sum of log_prob))` of {last['rows']} rows at {last['draws']} "
            "draws of the parameters, against the same sum evaluated operation by operation. Wrong is a draw that is "
            "off by more than 10⁻⁴ of the sum of its rows' absolute log probabilities and by more than ten times what "
            "float32 costs there.",
            told,
            *([table(head, body)] if body else []),
            provenance(list(rows.values())),
        ]
    )


def _cells(row: Row) -> list[str]:
    if not row["wrong"]:
        return ["none", "", ""]
    return [f"{row['wrong']} of {row['draws']:,}", str(row["first_wrong"] + 1), f"{row['largest_error']:.3g}"]
