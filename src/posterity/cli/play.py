"""`posterity play`: the playground in a browser of this machine."""

import contextlib
import sys
import webbrowser
from typing import Annotated

import typer

from posterity.cli.options import Json, Quiet, Seed
from posterity.cli.output import note, print_json, quietly
from posterity.runtime.errors import InputError

__all__ = ["play"]

Port = Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0 for any that is free.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")]


def play(
    port: Port = 8765, browser: Browser = True, seed: Seed = 0, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Drag points in a page on this machine, and watch their posterior move; Ctrl-C ends it."""
    try:
        from posterity.play import HOST, listen, serve
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("posterity"):
            raise
        raise InputError(f"posterity play: {error.name} is not installed; pip install 'posterity[play]'") from None
    # Ctrl-C is the way to end it, and no failure.
    with contextlib.suppress(KeyboardInterrupt), quietly(quiet), listen(port) as listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}/"
        if as_json:
            print_json({"url": url})
            sys.stdout.flush()
        else:
            note(f"playground at {url} on this machine alone; Ctrl-C ends it")
        if browser:
            webbrowser.open(url)
        serve(listening, seed=seed)
