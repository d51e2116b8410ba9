"""The command `posterity`: which subcommands there are, and how errors become one line and an exit code."""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from posterity.cli.bench import bench
from posterity.cli.check import check
from posterity.cli.infer import infer
from posterity.cli.models import models
from posterity.cli.options import examples
from posterity.cli.play import play
from posterity.cli.predict import predict
from posterity.cli.train import train
from posterity.runtime.errors import InputError
from posterity.runtime.plain import printable

__all__ = ["app", "main"]

FINE, UNTRUSTED_OR_DIVERGED, BAD_INPUT, INTERRUPTED, CLOSED = 0, 1, 2, 130, 1
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
PRESSED_AGAIN = 0.5  # seconds: exceptions travel faster, so that it does not disturb an orderly end

app = typer.Typer(
    help="Write a NumPyro model once, and get a checked posterior for every dataset that comes after.",
    epilog=examples(
        "posterity infer linear_regression data.csv --target y -o posterior.nc",
        "posterity infer my_model.py:my_model data.csv --target y",
        "posterity predict linear_regression data.csv new_rows.csv --target y -o predictions.csv",
        "posterity train linear_regression -o my.estimator --minutes 10",
        "posterity check my.estimator",
    )
    + "\n\nExit codes: 0 fine; 1 an answer is untrusted (with --strict) or training diverged; 2 bad input, "
    "nothing written; 130 interrupted.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(
    epilog=examples("posterity models", "posterity models --json"),
)(models)
app.command(
    epilog=examples(
        "posterity train linear_regression -o my.estimator --minutes 10 --features 1:20",
        "posterity train logistic_regression -o my.estimator --steps 20000 --family flow",
        "posterity train my_model.py:my_model -o my.estimator --like data.csv --target y --features 2:8",
        "posterity train linear_regression -o my.estimator --minutes 10 --features 1:20 --resume",
    ),
)(train)
app.command(
    epilog=examples(
        "posterity infer linear_regression data.csv --target y -o posterior.nc --report report.html",
        "posterity infer 'y ~ x1 + x2 + (1 + x1 | school)' data.csv --family bernoulli",
        "posterity infer my.estimator data.parquet --target y --categorical region --json",
        "posterity infer my.estimator data.csv --target y --model my_model.py:my_model --compare-nuts",
        "posterity infer linear_regression sales.parquet --target y --group store -o posteriors.parquet",
    ),
)(infer)
app.command(
    epilog=examples(
        "posterity predict linear_regression data.csv new_rows.csv --target y -o predictions.csv",
        "posterity predict logistic_regression data.csv new_rows.csv --target bought --interval 0.5 --json",
    ),
)(predict)
app.command(
    epilog=examples("posterity check my.estimator", "posterity check my.estimator --report check.html -o check.json"),
)(check)
app.command(epilog=examples("posterity play", "posterity play --port 0 --no-browser"))(play)
app.add_typer(bench, name="bench")


def _show_version(wanted: bool) -> bool:
    if wanted:
        import importlib.metadata

        typer.echo(f"posterity {importlib.metadata.version('posterity')}")
        raise typer.Exit
    return wanted


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; what nobody foresaw keeps its traceback.

    Args:
        arguments: Words after `posterity`; those of the process if None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _no_interrupt_is_lost():
            code = app(words or ["--help"], prog_name="posterity", standalone_mode=False, obj=words) or FINE
            sys.stdout.flush()
            return code
    except InputError as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse("not enough memory for this table, model and number of draws; give fewer rows or --draws")
    except BrokenPipeError:  # who reads the results has gone, as `head` does; Python would fail again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        return _refuse(f"{os.strerror(error.errno)}: {error.filename or 'the results could not be written'}")
    except typer.TyperException as error:  # an unknown option, a number that is none
        return _refuse(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED


@contextlib.contextmanager
def _no_interrupt_is_lost() -> Iterator[None]:
    """While it lasts, a Ctrl-C comes again until it has ended what runs.

    Python drops exceptions of finalizers, and compiled code those of its callbacks; JAX has many of both while it
    compiles, and the command would go on after a stray traceback.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # somebody else's, or ignored on purpose
        yield
        return
    main_thread, timers, show = threading.get_ident(), [], sys.unraisablehook

    def press(number: int, frame: Any) -> None:
        timers.append(threading.Timer(PRESSED_AGAIN, signal.pthread_kill, (main_thread, signal.SIGINT)))
        timers[-1].daemon = True
        timers[-1].start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, press)
    sys.unraisablehook = lambda dropped: None if dropped.exc_type is KeyboardInterrupt else show(dropped)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = show


def _refuse(message: str) -> int:
    print("error:", printable(" ".join(message.split())), file=sys.stderr)
    return BAD_INPUT
