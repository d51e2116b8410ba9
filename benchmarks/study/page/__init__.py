"""The page `docs/study.md`, made from rows and verdicts; `page.main` writes it."""
