"""The paper's claims by name, each as comparisons that rows can answer."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from study.judging.contrasts import Contrast, Difference, PaperValues, gain, measured
from study.judging.paper_cells import ENCODERS, FAMILIES, NETWORKS, OBJECTIVES, Key
from study.judging.values import Study
from study.judging.verdicts import sign
from study.tasks import SETTINGS

__all__ = ["CLAIMS", "ENOUGH", "Claim", "claim_verdict", "differences"]

ENOUGH = 1 / 3  # of a claim's comparisons have to be measured before it is judged
CHAMPION = "transformer/flow/reverse"
HIGH = (("fixed", "GM 100D"), ("fixed", "LR 100D"), ("fixed", "NLR 25D"), ("fixed", "LC 100D"), ("fixed", "NLC 25D"),
        ("variable", "GM 100D"), ("variable", "LR 100D"), ("variable", "NLR 50D"), ("variable", "LC 100D"),
        ("variable", "NLC 50D"))  # fmt: skip
SWITCHED = (("linear -> nlr_tanh", "lr"), ("mlp_tanh -> lr", "nlr"), ("gp -> nlr_tanh", "gp"))
TABULAR = {"LR": "predict_mean", "NLR": "predict_mean", "LC": "majority", "NLC": "majority"}


@dataclass(frozen=True)
class Claim:
    """What the paper says, and which comparisons decide it."""

    name: str
    says: str
    contrasts: Callable[[Study, PaperValues], list[Contrast]]


def claim_verdict(differences: list[Difference | None]) -> str:
    """Whether most of the comparisons made speak for the claim, or against it.

    "mixed" where most can be told from zero and go either way; "undecided" where most cannot.
    """
    made = [difference.finding for difference in differences if difference is not None]
    if not made or len(made) < ENOUGH * len(differences):
        return "not enough rows"
    for word, count in (("holds", made.count("for")), ("does not hold", made.count("against"))):
        if 2 * count > len(made):
            return word
    return "undecided" if 2 * made.count("undecided") >= len(made) else "mixed"


def measure_of(column: str) -> str:
    """What Tables 1 to 3 report for a column."""
    return "accuracy" if column.split()[0] in ("LC", "NLC") else "loss"


def main_columns(paper: PaperValues) -> list[tuple[str, str]]:
    """Setup and column of Tables 1 and 2, and of the small tasks, for which a laptop trains all networks."""
    small = {("fixed", task.column) for setting in SETTINGS.values() for task in setting.tasks if task.small}
    columns = dict.fromkeys((c.setup, c.column) for c in paper.values())
    main = {(c.setup, c.column) for c in paper.values() if c.table in ("1", "2")}
    return [column for column in columns if column in main | small]


def best_in_high_dimension(study: Study, paper: PaperValues) -> list[Contrast]:
    """The champion against the best of the eleven others, column by column."""
    return [_over_best_other(study, paper, *where) for where in HIGH]


def _over_best_other(study: Study, paper: PaperValues, setup: str, column: str) -> Contrast:
    measure = measure_of(column)
    others = [Key(setup, column, method) for method in NETWORKS if method != CHAMPION]
    ours = {key: estimate.value for key in others if (estimate := study.estimate(key, measure))}
    values = ours or {key: paper[key, measure].value for key in others}
    best = min(values, key=lambda key: sign(measure) * values[key])
    return gain(Key(setup, column, CHAMPION), best, measure)


def best_under_misspecification(_: Study, __: PaperValues) -> list[Contrast]:
    """Reverse KL with a flow against forward KL with a flow, on its own and on switched data."""
    found = []
    for column, real in SWITCHED:
        forward = Key("misspecified", column, "transformer/flow/forward")
        for stream in ("own", real):
            found.append(gain(Key("misspecified", column, CHAMPION, stream), forward, "loss"))
        gaussian = Key("misspecified", column, "transformer/diagonal/reverse", real)
        found.append(gain(Key("misspecified", column, CHAMPION, real), gaussian, "loss"))
    return found


def _flow_gain(setup: str, column: str, encoder: str, objective: str) -> Contrast:
    flow, diagonal = (Key(setup, column, f"{encoder}/{family}/{objective}") for family in ("flow", "diagonal"))
    return gain(flow, diagonal, measure_of(column))


def flows_help_forward(_: Study, paper: PaperValues) -> list[Contrast]:
    """Flow over diagonal Gaussian under forward KL."""
    return [_flow_gain(*where, encoder, "forward") for where in main_columns(paper) for encoder in ENCODERS]


def flows_help_forward_more(_: Study, paper: PaperValues) -> list[Contrast]:
    """The gain by a flow under forward KL, less the gain under reverse KL."""
    return [
        _flow_gain(*where, encoder, "forward") + -_flow_gain(*where, encoder, "reverse")
        for where in main_columns(paper)
        for encoder in ENCODERS
    ]


def reverse_loses_modes(_: Study, __: PaperValues) -> list[Contrast]:
    """Forward over reverse KL, both with flows, by the distance to reference draws of a mixture."""
    columns = ("GMM 2D 2cl", "GMM 5D 2cl")
    keys = [[Key("fixed", c, f"{e}/flow/{o}") for o in OBJECTIVES] for c, e in product(columns, ENCODERS)]
    return [gain(forward, reverse, "w2") for forward, reverse in keys]


def _encoder_over(better: str, worse: str, paper: PaperValues) -> list[Contrast]:
    pairs = product(main_columns(paper), FAMILIES, OBJECTIVES)
    return [
        gain(Key(*where, f"{better}/{family}/{objective}"), Key(*where, f"{worse}/{family}/{objective}"),
             measure_of(where[1]))
        for where, family, objective in pairs
    ]  # fmt: skip


def reverse_generalises(_: Study, __: PaperValues) -> list[Contrast]:
    """Reverse over forward KL on real tables."""
    return [
        gain(Key("tabular", c, f"{e}/{f}/reverse"), Key("tabular", c, f"{e}/{f}/forward"), measure_of(c))
        for c, f, e in product(TABULAR, FAMILIES, ENCODERS)
    ]


def beats_knowing_nothing(_: Study, __: PaperValues) -> list[Contrast]:
    """Reverse KL on real tables over the mean of the targets or the majority class, which the paper does not give."""
    return [
        gain(Key("tabular", c, f"{e}/{f}/reverse"), Key("tabular", c, null), measure_of(c))
        for (c, null), f, e in product(TABULAR.items(), FAMILIES, ENCODERS)
    ]


CLAIMS = (
    Claim("Best in high dimension", "Reverse KL with a flow and a Transformer is the best network in high dimension.",
          best_in_high_dimension),
    Claim("Best under misspecification", "Reverse KL with a flow is the better choice under misspecification, and "
          "better still when trained on the real stream of data.", best_under_misspecification),
    Claim("Flows help forward KL", "A flow improves forward KL.", flows_help_forward),
    Claim("Flows help reverse KL less", "A flow improves forward KL much and reverse KL little.",
          flows_help_forward_more),
    Claim("Reverse KL loses modes", "On the Gaussian mixture, forward KL with a flow finds modes that reverse KL "
          "loses.", reverse_loses_modes),
    Claim("GRU over DeepSets", "A GRU, which depends on the order of the rows, is better than DeepSets.",
          lambda _, paper: _encoder_over("gru", "deep_sets", paper)),
    Claim("Transformer over GRU", "The Transformer is the best encoder.",
          lambda _, paper: _encoder_over("transformer", "gru", paper)),
    Claim("From synthetic to real tables", "Reverse KL generalises from synthetic data to real tables better than "
          "forward KL.", reverse_generalises),
    Claim("Real tables, against knowing nothing", "Predictions for real tables are considerably better than chance.",
          beats_knowing_nothing),
)  # fmt: skip


def differences(claim: Claim, study: Study, paper: PaperValues) -> list[tuple[Contrast, Difference | None]]:
    """A claim's comparisons with our values."""
    return [(contrast, measured(contrast, study)) for contrast in claim.contrasts(study, paper)]
