"""Progress of a training: from the first batch on, as lines where standard error is no terminal."""

import io
import types
from pathlib import Path
from typing import Any

import pytest

from voxtrait.batch import line as lines
from voxtrait.batch.line import Line
from voxtrait.training import curves, progress
from voxtrait.training.progress import ProgressLine


class Terminal(io.StringIO):
    """Standard error that a person looks at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def run(epochs: int, batches: int, first: int = 0, *, seconds: float = 0.0, clock: list[float] | None = None) -> None:
    """Go through a training as Lightning does."""
    trainer: Any = types.SimpleNamespace(
        current_epoch=first, num_training_batches=batches, callback_metrics={"train_loss": 0.5, "validation_loss": 0.25}
    )
    line = ProgressLine("gender", epochs)
    module: Any = None
    line.on_train_start(trainer, module)
    for epoch in range(first, epochs):
        trainer.current_epoch = epoch
        for at in range(batches):
            if clock is not None:
                clock[0] += seconds
            line.on_train_batch_end(trainer, module, None, None, at)
        line.on_train_epoch_end(trainer, module)
    trainer.current_epoch = epochs
    line.on_fit_end(trainer, module)


def test_a_log_has_the_first_batch_the_first_epoch_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    run(30, 4)
    assert capsys.readouterr().err.splitlines() == [
        "gender: epoch 1/30, batch 1/4",
        "gender: epoch 1/30 done, loss 0.500, validation 0.250",
        "gender: 30 epochs done, loss 0.500, validation 0.250",
    ]


def test_a_long_epoch_has_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    run(2, 10, seconds=6.0, clock=clock)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "gender: epoch 1/2, batch 1/10, at most 114 s left",
        "gender: epoch 1/2, batch 3/10, at most 102 s left",
        "gender: epoch 1/2, batch 5/10, at most 90 s left",
    ]
    assert "gender: epoch 1/2 done, loss 0.500, validation 0.250, at most 60 s left" in lines
    assert len(lines) < 15


def test_a_terminal_has_one_line_that_moves_in_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Terminal()
    monkeypatch.setattr("sys.stderr", seen)
    run(2, 3)
    assert "gender, epoch 1/2" in seen.getvalue() and "6/6" in seen.getvalue().splitlines()[-1]
    assert "validation 0.250" in seen.getvalue()


def test_a_resumed_run_goes_on_counting(capsys: pytest.CaptureFixture[str]) -> None:
    run(5, 2, first=3)
    assert capsys.readouterr().err.splitlines()[0] == "gender: epoch 4/5, batch 1/2"


def test_a_recipe_may_have_any_name(tmp_path: Path) -> None:
    rows = [{"epoch": 0.0, "train_loss": 1.0, "validation_loss": 0.5}]
    curves.draw(rows, tmp_path / "curves.png", "mine $x_{ $")  # no formula
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_label_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine(None, 2)
    trainer: Any = types.SimpleNamespace(current_epoch=0, num_training_batches=1, callback_metrics={})
    module: Any = None
    line.on_train_start(trainer, module)
    line.on_train_batch_end(trainer, module, None, None, 0)
    line.on_train_epoch_end(trainer, module)
    line.on_fit_end(trainer, module)
    assert capsys.readouterr().err == ""


def test_a_log_has_a_line_every_ten_seconds_and_the_last_state(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: clock[0])
    with Line("predict", 100) as line:
        for _ in range(25):
            clock[0] += 1.0
            line.advance()
    assert capsys.readouterr().err.splitlines() == [
        "predict:  10%|█         | 10/100 [00:10<01:30, 1.00 file/s]",
        "predict:  20%|██        | 20/100 [00:20<01:20, 1.00 file/s]",
        "predict:  25%|██        | 25/100 [00:25<01:15, 1.00 file/s]",
    ]


def test_a_terminal_has_one_line_without_the_rest_of_a_longer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr("sys.stderr", seen := Terminal())
    with Line("a long label", done=3) as line:
        clock[0] = 4000.0
        line.advance(2)
        line.label = "short"
    assert seen.getvalue() == "\ra long label: 5 [1:06:40, 0.00 file/s]\rshort: 5 [1:06:40, 0.00 file/s]       \n"


def test_a_delayed_line_does_not_appear_for_a_short_job(capsys: pytest.CaptureFixture[str]) -> None:
    with Line("timeline", 10.0, "s of audio", delay_s=3.0) as line:
        line.advance(10.0)
    assert capsys.readouterr().err == ""
