"""The documentation runs, its links lead somewhere, its figures are those of the tables, and its checks can fail."""

import shutil

import pytest

from pages import check
from pages.blocks import blocks
from pages.run import ROOT, differences
from pages.same import difference

FIRST = ("README.md", "docs/index.md", "docs/start.md")
LONGER = sorted(
    str(path.relative_to(ROOT)) for part in ("howto", "tutorials") for path in ROOT.glob(f"docs/{part}/*.md")
)
RUN = [*FIRST, *(pytest.param(page, marks=pytest.mark.slow) for page in LONGER)]


@pytest.mark.filterwarnings("ignore")  # of ArviZ under a newer pandas; a page shows what a user sees
@pytest.mark.parametrize("page", RUN)
def test_a_page_prints_what_it_says(page):
    path = ROOT / page
    run = [block for block in blocks(path.read_text(encoding="utf-8")) if block.is_run]
    assert run or page.endswith("caches.md")
    assert list(differences(path)) == []


def test_links_names_and_figures():
    found = [line for path in check.pages() for line in (*check.dead_links(path), *check.stale_figures(path))]
    assert found + list(check.undocumented()) == []
    quoted = (ROOT / "README.md").read_text(encoding="utf-8").count("; column ")
    assert quoted >= 5  # or there would be nothing to go stale


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A place that the checks take for the project."""
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "measured.md").write_text(
        "# Found\n\n## The rest of it\n\n| case | n | seconds |\n|---|---|---|\n| a | 3 | 4.2 (5.0) |\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[x](measured.md#the-rest-of-it) [y](https://example.org/gone) `[z](gone.md)`", 0),
        ("[x](gone.md)", 1),
        ("[x](measured.md#the-rest)", 1),
        ("![x](figures/gone.svg)", 1),
        ("```python\n[x](gone.md)\n```", 0),
    ],
)
def test_dead_links_are_seen(folder, text, wrong):
    page = folder / "page.md"
    page.write_text(text)
    assert len(list(check.dead_links(page))) == wrong


@pytest.mark.parametrize(
    ("told", "where", "wrong"),
    [
        ("4.2", "row a; column seconds", 0),
        ("4.2", "row a, 3; column seconds", 0),
        ("4.3", "row a; column seconds", 1),
        ("4.2", "row b; column seconds", 1),
        ("4.2", "row a; column hours", 1),
    ],
)
def test_stale_figures_are_seen(folder, told, where, wrong):
    page = folder / "page.md"
    page.write_text(f'It took [{told}](measured.md "{where}") s.')
    assert len(list(check.stale_figures(page))) == wrong


def test_names_without_a_page_are_seen(folder):
    shutil.copytree(ROOT / "docs" / "api", folder / "docs" / "api")
    page = folder / "docs" / "api" / "infer.md"
    page.write_text(page.read_text().replace("::: posterity.load\n", ""))
    assert list(check.undocumented()) == ["posterity.load: on no page of docs/api"]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("mean 1.25 +- 0.10", "mean  1.26 +- 0.10\n", True),
        ("mean 1.25 +- 0.10", "mean 1.40 +- 0.10", False),
        ("mean 1.25", "mean -1.25", False),
        ("corrected", "untrusted", False),
        ("a\nb", "a", False),
        ("a", "a\nb", False),
        ("a\n...", "a\nb\nc", True),
        ("a\n...\nc", "a\nb\nb\nc", True),
        ("a\n...\nc", "a\nb\nb\nd", False),
        ("took ... s", "took 3.2 s", True),
        ("took ... s", "took 3.2 minutes", False),
        ("480 rows", "481 rows", True),  # within 3%: counts of rows are not what this is for
        ("24 corrected", "23 corrected", False),
    ],
)
def test_prints_are_compared_by_words_and_numbers(expected, printed, same):
    assert (difference(expected, printed) is None) == same
