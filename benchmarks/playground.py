"""Milliseconds from a move of the pointer to the frame that shows the posterior of it, in a headless Chromium.

    python benchmarks/playground.py            # needs Chromium, and the extras `play` and `dev`

In every mode of `posterity play` one point is dragged for a few seconds, a move every 40 ms. The page itself takes the
time of each move that it shows, from the event's own time stamp until the frame after the picture was changed; moves
that come while an answer is being computed are passed over, and the newest is answered next. Beside it stand the
milliseconds that the answers took in the server, and the CPU milliseconds that one picture cost server and browser: a
machine with other work to do takes longer. Software rendering: a GPU paints faster. Rows go to
`results/playground.jsonl`, with the load of the machine (processes that wanted a core, over a minute).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import psutil
from playwright.sync_api import Page, sync_playwright
from rows import append

NAME, MOVES, PAUSE = "playground", 100, 40
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def drag(page: Page, moves: int) -> tuple[list[float], list[float]]:
    """Drags the fourth point around; milliseconds to the picture, and in the server, of each that was shown."""
    served: list[float] = []
    page.on(
        "response",
        lambda answer: served.append(1000 * answer.json()["seconds"]) if "/posterior" in answer.url else None,
    )
    box = page.locator("#plot .point").nth(3).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = len((page.locator("#drawn").get_attribute("data-all") or "").split())
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(moves):
        page.mouse.move(x + 40 * (step % 20) / 20, y - step)
        time.sleep(PAUSE / 1000)
    page.mouse.up()
    page.wait_for_timeout(1000)
    return [float(ms) for ms in (page.locator("#drawn").get_attribute("data-all") or "").split()[before:]], served


def cpu_seconds(root: psutil.Process) -> float:
    """CPU seconds of a process and all that it started and that are still there."""
    return sum(sum(process.cpu_times()[:2]) for process in [root, *root.children(recursive=True)])


def main() -> None:
    """Measures every mode; one with `--smoke`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one mode and few moves: to see that it runs")
    is_smoke = parser.parse_args().smoke
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("skipped: no Chromium on this machine")
        return
    command = [sys.executable, "-m", "posterity", "play", "--port", "0", "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        url = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"]
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        for key in ("line",) if is_smoke else ("line", "classes", "mixture", "groups"):
            page = browser.new_page(viewport={"width": 1200, "height": 1000})
            page.goto(url)
            page.click(f"#modes button[data-key={key}]")
            page.wait_for_selector(".verdict.corrected", timeout=120_000)
            page.wait_for_timeout(1000)
            processes = {"server": psutil.Process(server.pid), "browser": psutil.Process()}
            before = {name: cpu_seconds(process) for name, process in processes.items()}
            drawn, served = drag(page, 10 if is_smoke else MOVES)
            spent = {name: cpu_seconds(process) - before[name] for name, process in processes.items()}
            spent["browser"] -= spent["server"]  # it is a child, too
            row = {
                "mode": key,
                "drawn": len(drawn),
                "median_ms": round(statistics.median(drawn), 1),
                "p90_ms": round(statistics.quantiles(drawn, n=10)[-1], 1),
                "server_median_ms": round(statistics.median(served), 1),
                **{f"{name}_cpu_ms": round(1000 * seconds / len(drawn), 1) for name, seconds in spent.items()},
                "load": round(os.getloadavg()[0], 1),
            }
            append(NAME, row)
            print(row)
            page.close()
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
