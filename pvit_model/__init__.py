"""PromptonomyViT: backbones, task prompts, heads, losses, training, evaluation, prediction.

What is named here is public; rooms below it may move. Nothing is loaded before it is used: `import pvit_model` loads no
torch.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from pvit_model.backbones import backbone_names as backbone_names
    from pvit_model.backbones import build_backbone as build_backbone
    from pvit_model.backbones.base import Backbone as Backbone
    from pvit_model.backbones.base import BackboneOutput as BackboneOutput
    from pvit_model.backbones.base import Published as Published
    from pvit_model.config import VARIANTS as VARIANTS
    from pvit_model.config import PViTConfig as PViTConfig
    from pvit_model.network.create import create_model as create_model
    from pvit_model.network.published import LoadReport as LoadReport
    from pvit_model.network.published import load_backbone_checkpoint as load_backbone_checkpoint
    from pvit_model.network.pvit import PViT as PViT
    from pvit_model.network.pvit import PViTOutput as PViTOutput
    from pvit_model.network.total_loss import task_losses as task_losses
    from pvit_model.tasks import LossOptions as LossOptions
    from pvit_model.tasks.base import HeadPlan as HeadPlan
    from pvit_model.tasks.base import LossSum as LossSum
    from pvit_model.tasks.base import Shown as Shown
    from pvit_model.tasks.base import Task as Task
    from pvit_model.tasks.base import TaskOptions as TaskOptions
    from pvit_model.tasks.base import masked_sum as masked_sum
    from pvit_model.tasks.constant import Constant as Constant
    from pvit_model.tasks.constant import FrequencyConstant as FrequencyConstant
    from pvit_model.tasks.constant import MeanConstant as MeanConstant
    from pvit_model.tasks.heads import DenseHead as DenseHead
    from pvit_model.tasks.heads import Head as Head
    from pvit_model.tasks.heads import HeadInput as HeadInput
    from pvit_model.tasks.heads import TokenHead as TokenHead
    from pvit_model.tasks.meter import Meter as Meter
    from pvit_model.training.train import train as train
    from pvit_model.using.evaluate import evaluate as evaluate
    from pvit_model.using.loading import load_model as load_model
    from pvit_model.using.predict import predict as predict
    from pvit_model.using.predict import predict_many as predict_many

_HOMES = {
    "Backbone": "backbones.base",
    "BackboneOutput": "backbones.base",
    "Constant": "tasks.constant",
    "DenseHead": "tasks.heads",
    "FrequencyConstant": "tasks.constant",
    "Head": "tasks.heads",
    "HeadInput": "tasks.heads",
    "HeadPlan": "tasks.base",
    "LoadReport": "network.published",
    "LossOptions": "tasks",
    "LossSum": "tasks.base",
    "MeanConstant": "tasks.constant",
    "Meter": "tasks.meter",
    "PViT": "network.pvit",
    "PViTConfig": "config",
    "PViTOutput": "network.pvit",
    "Published": "backbones.base",
    "Shown": "tasks.base",
    "Task": "tasks.base",
    "TaskOptions": "tasks.base",
    "TokenHead": "tasks.heads",
    "VARIANTS": "config",
    "backbone_names": "backbones",
    "build_backbone": "backbones",
    "create_model": "network.create",
    "evaluate": "using.evaluate",
    "load_backbone_checkpoint": "network.published",
    "load_model": "using.loading",
    "masked_sum": "tasks.base",
    "predict": "using.predict",
    "predict_many": "using.predict",
    "task_losses": "network.total_loss",
    "train": "training.train",
}
"""Where each public name lives."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> _Any:
    """Public names, loaded when they are first used."""
    if name == "__version__":
        return _import_module("importlib.metadata").version("pvit-toolkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'pvit_model' has no attribute '{name}'")
    return getattr(_import_module(f"pvit_model.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
