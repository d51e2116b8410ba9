"""The transcribed cells of the paper: how many, a few of them by eye, and their agreement with each other."""

from collections import Counter

import pytest
from study_modules import study

paper_cells = study("judging.paper_cells")
CELLS = paper_cells.read_cells()


def cell(table, column, method, stream="own"):
    (found,) = (c for c in CELLS if (c.table, c.column, c.method, c.stream) == (table, column, method, stream))
    return found


@pytest.mark.parametrize(
    ("table", "number"),
    [
        ("1", 8 * 16),
        ("2", 8 * 16 - 1),  # Langevin on NLR 50D is N/A
        ("3", 4 * 13),
        ("4", 3 * 6),
        ("5", 4 * 7),
        ("6", 8 * 13),
        ("7-14", 14 * 16 - 2 + 14 * 16),  # Langevin on NLR with two layers of ReLU is N/A
        ("15-22", 14 * 16 - 2 + 14 * 12),
        ("23-24", 4 * (4 + 3 + 3 + 9 + 9)),
    ],
)
def test_every_table_has_all_its_cells(table, number):
    assert sum(c.table == table for c in CELLS) == number


def test_no_cell_occurs_twice():
    found = Counter((c.table, c.setup, c.column, c.method, c.stream) for c in CELLS)
    assert set(found.values()) == {1}


@pytest.mark.parametrize(
    ("where", "measure", "value", "error"),
    [
        (("1", "LR 100D", "transformer/flow/reverse"), "loss", 29.4, 1.6),
        (("1", "NLC 25D", "hmc"), "accuracy", 70.4, 0.1),
        (("1", "GMM 5D 2cl", "deep_sets/flow/forward"), "loss", 0.65, 0.08),
        (("2", "NLR 50D", "gru/diagonal/reverse"), "loss", 316.3, 6.2),
        (("3", "LC", "gru/diagonal/reverse"), "accuracy", 79.71, 1.12),  # bold in the paper
        (("3", "NLR", "transformer/diagonal/forward"), "loss", 111.07, 6.55),
        (("4", "mlp_tanh -> lr", "transformer/diagonal/reverse", "nlr"), "loss", 1.226, 0.001),
        (("5", "LR 100D", "transformer/diagonal/forward"), "symmetric_kl_per_latent", 20.6, 1.0),
        (("5", "GM 2D", "deep_sets/diagonal/reverse"), "symmetric_kl_per_latent", 0.029, 0.002),
        (("6", "GMM 5D 2cl", "transformer/flow/forward"), "w2", 1.2, 0.26),
        (("7-14", "NLR ReLU-2L 25D", "transformer/diagonal/reverse"), "loss", 1811.4, 115.0),
        (("7-14", "NLC T2c 2L 2D", "transformer/flow/reverse"), "accuracy", 81.7, None),
        (("15-22", "NLC T2c 1L 50D", "transformer/diagonal/reverse"), "accuracy", 64.9, None),
        (("23-24", "mlp_tanh -> lr", "deep_sets/diagonal/reverse", "gp"), "loss", 3963.7, 5602.0),
        (("23-24", "gp -> nlr_tanh", "transformer/flow/reverse", "lr"), "loss", 0.293, None),
        (("23-24", "linear -> nlr_tanh", "hmc"), "loss", 0.275, None),
    ],
)
def test_cells_read_as_in_the_paper(where, measure, value, error):
    found = cell(*where)
    assert (found.measure, found.value, found.error) == (measure, value, error)


def test_table_4_is_part_of_tables_23_and_24():
    headline = [c for c in CELLS if c.table == "4"]
    for c in headline:
        (whole,) = (o for o in CELLS if o.table == "23-24" and o.key == c.key)
        assert whole.value == c.value


def test_the_models_own_stream_has_one_name():
    assert cell("4", "gp -> nlr_tanh", "transformer/flow/reverse", "nlr").key.stream == "own"
    assert paper_cells.stream_of("gp -> nlr_tanh", "nlr_tanh") == "own"
    assert paper_cells.stream_of("mlp_tanh -> lr", "nlr_tanh") == "nlr"
    assert paper_cells.stream_of("LR 100D", None) == "own"


def test_rounding_is_half_a_printed_unit():
    assert cell("5", "LR 1D", "gru/diagonal/reverse").rounding == 0.005  # printed as .03
    assert cell("7-14", "NLR ReLU-2L 25D", "transformer/diagonal/reverse").rounding == 0.05


@pytest.mark.parametrize(
    ("setup", "column", "steps"),
    [
        ("fixed", "GMM 5D 2cl", 200_000),
        ("variable", "NLC 50D", 250_000),
        ("tabular", "LR", 100_000),
        ("misspecified", "gp -> nlr_tanh", 100_000),
        ("misspecified", "mlp_tanh -> lr", 50_000),
    ],
)
def test_paper_steps(setup, column, steps):
    assert paper_cells.paper_steps(setup, column) == steps
