"""Takes the pictures of pages for the gallery: the playground, a report, a report on many datasets. Needs Chromium.

PYTHONPATH=tools python -m pages.pictures
"""

import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pages.run import ROOT

__all__ = ["main"]

FIGURES = ROOT / "docs" / "figures"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
WIDE = {"width": 1100, "height": 760}
PHONE = {"width": 390, "height": 760}
COLOURS = 64  # of a picture: a third of the bytes, and nobody sees it


def main() -> None:
    """Writes them into docs/figures."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        _reports(browser, Path(folder))
        _playground(browser)
        browser.close()


def _reports(browser: Any, folder: Path) -> None:
    import posterity

    table = str(ROOT / "examples" / "stores.csv")
    post = posterity.infer("sales ~ price + promotion + (1 | store)", table)
    stores = posterity.infer("sales ~ price + promotion", table, group="store")
    post.report(folder / "report.html", title="Sales of 24 stores")
    assert isinstance(stores, posterity.Posteriors)
    stores.report(folder / "groups.html", title="Sales, store by store")
    for name in ("report", "groups"):
        page = browser.new_page(viewport=WIDE)
        page.goto((folder / f"{name}.html").as_uri())
        _save(page, name)


def _playground(browser: Any) -> None:
    command = [sys.executable, "-m", "posterity", "play", "--port", "0", "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"]
        for key, scheme, size in (
            ("line", "light", WIDE),
            ("classes", "dark", WIDE),
            ("mixture", "light", PHONE),
            ("groups", "light", PHONE),
        ):
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(url)
            page.click(f"#modes button[data-key={key}]")
            page.wait_for_selector(".verdict.corrected", timeout=300_000)
            _save(page, f"play_{key}")
        server.terminate()


def _save(page: Any, name: str) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS).save(FIGURES / f"{name}.png", optimize=True)
    page.close()


if __name__ == "__main__":
    main()
