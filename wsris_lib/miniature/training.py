"""The training of a miniature: resumable as any, and it ends in a card."""

from typing import Any

from wsris_lib.infra import trainer
from wsris_lib.miniature.card import write_card


class MiniatureTrainer(trainer.Trainer):
    """Ends with `run.finish(name=..., objective=..., data=..., limits=...)`."""

    def finish(self, **card: Any) -> None:
        """Write `out`/card.json (see `write_card` for what it wants besides) and forget the checkpoint."""
        write_card(self.out, steps=self.steps, seconds=round(self.seconds, 1), loss_curve=self.curve, **card)
        self.delete_checkpoint()
