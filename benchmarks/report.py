"""Writes measured.md, performance.md and nested.md in docs from the result rows, so that no figure is typed by hand.

python benchmarks/report.py
"""

from report_compiler import compiler_section
from report_findings import findings
from report_in_context import in_context_section, memory_section, second_answer_section, speed_section, tasks_section
from report_informed import (
    growth_section,
    informed_any_section,
    informed_in_context_section,
    informed_section,
    informed_tasks_section,
    real_tables_section,
)
from report_nested import NESTED_PAGE, nested_page
from report_performance import PERFORMANCE_PAGE, performance_page
from report_references import posteriordb_section, sbibm_section
from report_text import PAGE
from report_trust import (
    best_gaussian_section,
    fit_section,
    missed_modes_section,
    trust_study_section,
    trust_trained_section,
    trust_wrong_section,
)

SECTIONS = (
    informed_section,
    best_gaussian_section,
    informed_in_context_section,
    informed_any_section,
    real_tables_section,
    trust_study_section,
    trust_wrong_section,
    trust_trained_section,
    fit_section,
    missed_modes_section,
    posteriordb_section,
    sbibm_section,
    informed_tasks_section,
    growth_section,
    in_context_section,
    tasks_section,
    speed_section,
    memory_section,
    second_answer_section,
    compiler_section,
)


def main() -> None:
    """Writes the pages."""
    made = "Made by `python benchmarks/report.py` from `benchmarks/results/`; nothing here is typed."
    intro = f"# Measured\n\n{findings()}\n\n{made}"
    PAGE.write_text("\n\n".join([intro, *filter(None, (section() for section in SECTIONS))]) + "\n")
    PERFORMANCE_PAGE.write_text(performance_page())
    NESTED_PAGE.write_text(nested_page())


if __name__ == "__main__":
    main()
