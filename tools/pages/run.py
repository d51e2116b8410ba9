"""Runs the commands and the Python of pages, in a folder with the examples, and compares what is printed.

PYTHONPATH=tools python -m pages.run README.md docs/start.md           # exit 1 where they differ
PYTHONPATH=tools python -m pages.run README.md docs/start.md --write   # writes what is printed into the pages
"""

import argparse
import ast
import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages.blocks import Block, blocks, with_output
from pages.same import difference

__all__ = ["ROOT", "differences", "run_page"]

ROOT = Path(__file__).resolve().parents[2]
WIDTH = "100"


def differences(path: Path) -> Iterator[str]:
    """One sentence for each block of a page that prints something else than the page says, or fails."""
    page = path.read_text(encoding="utf-8")
    for block, printed in run_page(page):
        expected = block.text if block.language == "console" else block.output
        if expected is None:
            continue
        found = difference(expected, printed)
        if found is not None:
            yield f"{path.name}:{block.line}: {found}"


def run_page(page: str) -> Iterator[tuple[Block, str]]:
    """Every block that is run, in order and one name space, and what it printed.

    Args:
        page: Text of the page.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with _in_a_folder():
        for block in blocks(page):
            if not block.is_run or block.language not in ("python", "console"):
                continue
            run = _python if block.language == "python" else _console
            try:
                yield block, run(block, namespace)
            except Exception as error:
                raise RuntimeError(f"line {block.line}: {type(error).__name__}: {error}\n\n{block.text}") from error


@contextlib.contextmanager
def _in_a_folder() -> Iterator[None]:
    before, width = os.getcwd(), os.environ.get("COLUMNS")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        os.chdir(folder)
        os.environ["COLUMNS"] = WIDTH
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            os.chdir(before)
            os.environ.pop("COLUMNS") if width is None else os.environ.update(COLUMNS=width)


def _python(block: Block, namespace: dict[str, Any]) -> str:
    """Runs it; the value of a last line that is an expression is shown, as a notebook does."""
    program = ast.parse(block.text)
    last = program.body[-1] if program.body else None
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(program.body[:-1], []), f"<line {block.line}>", "exec"), namespace)
            value = eval(compile(ast.Expression(last.value), f"<line {block.line}>", "eval"), namespace)
            if value is not None:
                print(repr(value))
        else:
            exec(compile(program, f"<line {block.line}>", "exec"), namespace)
    return printed.getvalue()


def _console(block: Block, _: dict[str, Any]) -> str:
    """Runs its commands, and gives each behind `$` with what it printed, unless the page shows nothing of that."""
    told: list[str] = []
    commands = _commands(block.text)
    for command, expected in commands:
        told.append(f"$ {command}\n")
        code, printed = _run(command.partition("  #")[0])
        if code:
            raise RuntimeError(f"exit code {code}: {command}\n{printed}")
        told.append(printed if expected.strip() else "")
    return "".join(told)


def _commands(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip("\n"), ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def _run(command: str) -> tuple[int, str]:
    words = shlex.split(command)
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()) as remarks:
        if words[0] == "posterity" or words[:3] == ["python", "-m", "posterity"]:
            from posterity.cli.app import main

            code = main(words[1 if words[0] == "posterity" else 3 :])
        elif words[0] == "python":
            before, sys.argv = sys.argv, words[1:]
            try:
                runpy.run_path(words[1], run_name="__main__")
                code = 0
            finally:
                sys.argv = before
        else:
            raise ValueError(f"do not know how to run '{command}'; say why above the block: <!-- not run: ... -->")
    return code, printed.getvalue() + (remarks.getvalue() if code else "")


def _rewritten(path: Path) -> str:
    page = path.read_text(encoding="utf-8")
    outputs: dict[tuple[int, int], str] = {}
    for block, printed in run_page(page):
        clean = re.sub(r"\n\n+", "\n\n", "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())) + "\n"
        expected = block.text if block.language == "console" else block.output
        if expected is not None and difference(expected, printed) is not None:
            outputs[block.span] = clean
    return with_output(page, outputs)


def main() -> int:
    """Reads the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="write what is printed into the pages")
    given = parser.parse_args()
    if given.write:
        for path in given.pages:
            path.write_text(_rewritten(path), encoding="utf-8")
        return 0
    found = [line for path in given.pages for line in differences(path)]
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
