"""Checkpoints of a run in progress, by Orbax: written beside the run, complete or not there at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from posterity.runtime.bounded import plain_json, read_plain
from posterity.runtime.errors import InputError
from posterity.runtime.files import replacing

__all__ = ["RunFolder", "check_run_folder"]


def check_run_folder(path: Path, *, resume: bool) -> None:
    """Raises InputError unless a run can begin in a folder, or go on there; called before anything slow, too."""
    record = path / "run.json"
    there = record.exists()
    if resume and there:
        _read_settings(record)
    if resume and not there:
        raise InputError(f"nothing to resume in {path}: it holds no run.json; train without --resume first")
    if there and not resume:
        raise InputError(f"{path} holds a run already; add --resume to go on with it, or remove the folder")


MOST_BYTES = 2**22  # of run.json


class RunFolder:
    """A folder with a run's settings, its checkpoints and its metrics.

    Files: `run.json` (settings, written once), `metrics.jsonl` (one line per event), `checkpoints/`.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool):
        """Opens the folder of a new run, or of one to go on with.

        Args:
            path: The folder; made if need be.
            settings: What must be equal for a run to be continued.
            resume: Whether to go on from the last checkpoint.

        Raises:
            InputError: There is a run already and `resume` is False; there is none and it is True; the settings
                differ; the folder cannot be written.
        """
        self.path = path
        self.metrics_path = path / "metrics.jsonl"
        record = path / "run.json"
        plain = json.loads(json.dumps(settings))
        check_run_folder(path, resume=resume)
        if resume:
            _refuse_other_settings(path, _read_settings(record), plain)
        else:
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"cannot write to {path}: {error.strerror}") from error
            with replacing(record) as unfinished:
                unfinished.write_text(json.dumps(plain, indent=2) + "\n")
        import orbax.checkpoint as ocp  # here, because it takes 0.6 s to import

        self._ocp = ocp
        options = ocp.CheckpointManagerOptions(max_to_keep=2)
        self._manager = ocp.CheckpointManager((path / "checkpoints").absolute(), options=options)

    def save(self, step: int, state: Any, notes: Mapping[str, Any]) -> None:
        """Starts writing a checkpoint; training goes on meanwhile. A kill leaves the one before intact."""
        if step in self._manager.all_steps():
            return
        args = self._ocp.args.Composite(
            state=self._ocp.args.StandardSave(state), notes=self._ocp.args.JsonSave(dict(notes))
        )
        self._manager.save(step, args=args)

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """Latest state and its notes, or None if the run was stopped before its first checkpoint.

        Args:
            like: A state of the same structure.
        """
        step = self._manager.latest_step()
        if step is None:
            self.truncate_metrics(0)
            return None
        abstract = jax.eval_shape(lambda: like)
        args = self._ocp.args.Composite(
            state=self._ocp.args.StandardRestore(abstract), notes=self._ocp.args.JsonRestore()
        )
        restored = self._manager.restore(step, args=args)
        self.truncate_metrics(step)
        return restored["state"], restored["notes"]

    def log(self, event: Mapping[str, Any]) -> None:
        """Appends one line to the metrics."""
        with self.metrics_path.open("a") as file:
            file.write(json.dumps(event) + "\n")

    def truncate_metrics(self, step: int) -> None:
        """Drops what was logged after the checkpoint, and a line that a kill cut short."""
        if not self.metrics_path.exists():
            return
        kept = []
        for line in self.metrics_path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError):
                continue
        with replacing(self.metrics_path) as unfinished:
            unfinished.write_text("".join(f"{line}\n" for line in kept))

    def close(self) -> None:
        """Waits until the last checkpoint is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def _read_settings(record: Path) -> dict[str, Any]:
    try:
        settings = plain_json(read_plain(record, MOST_BYTES), str(record))
    except InputError as error:
        raise InputError(f"{error}: remove the folder {record.parent} and train anew") from error
    if not isinstance(settings, dict):
        raise InputError(f"{record} is damaged (no settings): remove the folder {record.parent} and train anew")
    return settings


def _refuse_other_settings(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key in sorted({*saved, *given}):
        if saved.get(key) != given.get(key):
            raise InputError(
                f"cannot resume {path}: it was started with {key} = {saved.get(key)!r}, "
                f"now {key} = {given.get(key)!r}; give the same settings, or train anew elsewhere"
            )
