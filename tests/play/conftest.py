"""The playground as users start it, and the Chromium of this machine to look at it with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `play` is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Server:
    """A playground in a process of its own."""

    def __init__(self, *options: str):
        command = [sys.executable, "-m", "posterity", "play", "--port", "0", "--no-browser", "--json", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = json.loads("".join(iter(self.process.stdout.readline, "}\n")) + "}")["url"]
        self.origin = self.url.rstrip("/")

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and content; headers as `content_type=...`, None to leave one out."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if content is not None:
            given = {"Content-Type": "application/json"} | given
        request = urllib.request.Request(self.origin + path, content, given)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, self._content(answer)
        except urllib.error.HTTPError as error:
            return error.code, self._content(error)

    @staticmethod
    def _content(answer: Any) -> Any:
        text = answer.read().decode()
        return json.loads(text) if "json" in answer.headers["content-type"] else text

    def stop(self) -> int:
        """Ends it as Ctrl-C does; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Any]:
    """Chromium without a window and without a network of its own; skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield launched
        launched.close()


@pytest.fixture
def page(browser, server) -> Iterator[Any]:
    """The page with its first posterior; fails on any error that its script throws or its console shows."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    context.set_default_timeout(120_000)
    found = context.new_page()
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda message: wrong.append(message.text) if "status of" not in message.text else None)
    found.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(server.url) else None)
    found.goto(server.url)
    found.wait_for_selector(".verdict.corrected")
    yield found
    context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """Where screenshots are kept, if anywhere: POSTERITY_SCREENSHOTS names the folder."""
    folder = os.environ.get("POSTERITY_SCREENSHOTS")
    if folder is None:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)
