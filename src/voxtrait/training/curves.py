"""Learning curves: one row per epoch, as a table and a plot; a resumed run keeps the earlier rows."""

from pathlib import Path
from typing import Any, Final

import lightning
import polars as pl

from voxtrait.audio.writing import atomic_path
from voxtrait.palette import ACCENT, QUIET
from voxtrait.palette.drawing import dress

TITLES: Final = {"loss": "loss", "accuracy": "accuracy", "uar": "average recall"}


class Curves(lightning.Callback):
    """Writes ``curves.csv`` and ``curves.png`` after each epoch.

    The checkpoint stores the rows, so that the curves of a resumed run are complete.
    """

    def __init__(
        self, folder: Path, title: str, figures: tuple[str, ...] = tuple(TITLES), *, keeps_best: bool = True
    ) -> None:
        self.folder, self.title, self.figures, self.keeps_best = folder, title, figures, keeps_best
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the rows for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows from the checkpoint."""
        self.rows = state_dict["rows"]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the epoch's row, and write the table and the plot."""
        names = [f"{split}_{name}" for name in self.figures for split in ("train", "validation")]
        figures = {name: float(trainer.callback_metrics[name]) for name in names}
        self.rows.append({"epoch": float(trainer.current_epoch)} | figures)
        if not trainer.is_global_zero:  # every process has the rows in its checkpoint state; only rank 0 writes files
            return
        with atomic_path(self.folder / "curves.csv") as part:
            pl.DataFrame(self.rows).with_columns(pl.col("epoch").cast(pl.Int64)).write_csv(part, float_precision=6)
        draw(self.rows, self.folder / "curves.png", self.title, keeps_best=self.keeps_best)


def draw(rows: list[dict[str, float]], file: Path, title: str, *, keeps_best: bool = True) -> None:
    """Plot the figures of training and validation by epoch: loss, and accuracy and recall if present."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [name for name in TITLES if f"train_{name}" in rows[0]]
    figure = Figure(figsize=(max(5, 3 * len(names)), 3.4), layout="constrained", dpi=110)
    epochs = [row["epoch"] + 1 for row in rows]
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        panel.plot(
            epochs, [row[f"train_{name}"] for row in rows], label="train (augmented)", color=QUIET.light, linestyle="--"
        )
        panel.plot(epochs, [row[f"validation_{name}"] for row in rows], label="validation", color=ACCENT.light)
        if keeps_best:
            best = min(rows, key=lambda row: row["validation_loss"])
            panel.axvline(best["epoch"] + 1, color=ACCENT.light, linewidth=0.8, linestyle=":")
        panel.set_title(TITLES[name], fontsize=10)
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid()
    panels[0].legend(fontsize=8, frameon=False)
    kept = "dotted line: epoch of the bundle" if keeps_best else "the bundle has the last epoch"
    figure.suptitle(f"{title}: {kept}", fontsize=11, parse_math=False)
    dress(figure)
    with atomic_path(file) as part:
        figure.savefig(part, format="png")
