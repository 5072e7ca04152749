"""The constant predictor of a source: each task's own, fitted on the source's training samples."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from pvit_data.loading.batch import Batch, Targets
from pvit_model.network.inference import Inference
from pvit_model.tasks import get_task
from pvit_model.tasks.constant import Constant


class ConstantPredictor:
    """Fits a constant for each target of some batches and predicts it as the network's heads would.

    Args:
        inference: gives label spaces and loss options.

    Attributes:
        clips: number of clips it was fitted on.
    """

    def __init__(self, inference: Inference) -> None:
        self.inference, self.options = inference, inference.losses()
        self.clips = 0
        self._fitted: dict[str, Constant | None] = {}

    def fit(self, batches: Iterable[Batch]) -> ConstantPredictor:
        """Takes in batches; may be called again."""
        for batch in batches:
            self.clips += len(batch.keys)
            for name, targets in batch.targets.items():
                if len(targets.rows):
                    self._add(name, targets)
        return self

    def _add(self, name: str, targets: Targets) -> None:
        if name not in self._fitted:
            number = self.inference.num_ids(name)
            self._fitted[name] = get_task(name).constant(number, self.options.of(name))
        constant = self._fitted[name]
        if constant is not None:
            constant.add(targets.value.cpu(), targets.valid.cpu())

    def __contains__(self, name: str) -> bool:
        return self._fitted.get(name) is not None

    def predict(self, name: str, like: Targets, for_loss: bool = False) -> Float[Tensor, "r ..."]:
        """The constant for each supervised row, laid out as the network's head would.

        Args:
            name: target name.
            like: gives the number of rows.
            for_loss: the constant that is best for the loss rather than for the metrics.
        """
        constant = self._fitted[name]
        assert constant is not None
        return constant.predict(like, for_loss)
