"""A model in shards: mmengine's FSDP, in parts that are the blocks of a trunk."""

import os
from pathlib import Path
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_distributed, is_main_process
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import load_checkpoint, weights_to_cpu
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ..backbones import DAGAViT
from ..errors import RunError, as_run_error
from ..registry import STRATEGIES
from .atomic_backend import UNFINISHED
from .checkpoint_fit import require_fit


@STRATEGIES.register_module()
class ShardedStrategy(FSDPStrategy):
    """Split weights, gradients and the optimiser's states over all processes, on GPUs or on the CPU.

    Each block of the trunk is a part of its own, frozen or not, and whole only while it runs; what is trained beside
    the trunk is one more. What is frozen outside of the blocks, such as the patch embedding, is in every process.

    Beyond mmengine's strategy, whose model is PyTorch's FullyShardedDataParallel:

    - weights are read before the model is split, so that the trunk is looked after as in any run;
    - optimiser groups are those of the whole model: a shard has neither its parameter's shape nor its name;
    - a norm of gradients is that of all shards;
    - a checkpoint is like that of any other run, in whole and written at once, by the first process.

    Attributes:
        weights: The checkpoint to start from, and whether it has to have all of the model; None for none.

    Args:
        model_wrapper: Further arguments of FullyShardedDataParallel, such as ``sharding_strategy`` and
            ``cpu_offload``.
        **kwargs: mmengine's.

    Raises:
        RunError: There is one process only; the model has no DAGAViT.
    """

    model_wrapper: dict | None

    def __init__(self, *, model_wrapper: dict | None = None, **kwargs: Any) -> None:
        super().__init__(model_wrapper=model_wrapper, state_dict_cfg='full', **kwargs)
        if not is_distributed():
            raise RunError('a model in shards needs processes to hold them: start it with tools/dist_train.sh')
        self.weights: tuple[str, bool] | None = None
        self._optim_wrapper: Any = None

    # -- from a whole model to shards --------------------------------------------------------------------------

    def prepare(self, model: nn.Module | dict, *, optim_wrapper: Any = None, **kwargs: Any) -> Any:
        """mmengine's."""
        self._optim_wrapper = optim_wrapper
        return super().prepare(model, optim_wrapper=optim_wrapper, **kwargs)

    def _init_model_weights(self, model: nn.Module) -> nn.Module:
        with as_run_error(OSError, ValueError):
            model = super()._init_model_weights(model)
            if self.weights is not None:
                path, whole = self.weights
                if '://' not in path:
                    require_fit(model, path, whole)
                load_checkpoint(model, path, map_location='cpu')
        return model

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        blocks = {
            block for module in model.modules() if isinstance(module, DAGAViT) for block in module.trunk.model.blocks
        }
        if not blocks:
            raise RunError('ShardedStrategy splits the trunk of a daga_mm.DAGAViT, and this model has none')
        device = torch.device(get_device())
        options: dict[str, Any] = {}
        if device.type == 'cpu':
            model = revert_sync_batchnorm(model)  # synchronised batch norm exists on GPUs only
            options['device_id'] = device
        if self._optim_wrapper is not None:
            names = {parameter: name for name, parameter in model.named_parameters()}
            self._optim_wrapper = super().build_optim_wrapper(self._optim_wrapper, model)
            self._group_names = [
                [names[parameter] for parameter in group['params']] for group in self._groups(self._optim_wrapper)
            ]
        inside = {parameter for block in blocks for parameter in block.parameters()}
        beside = [one for one in model.parameters() if not one.requires_grad and one not in inside]
        for parameter in beside:
            parameter.data = parameter.data.to(device)  # FSDP moves only what it splits
        self.model_wrapper = {
            'type': 'MMFullyShardedDataParallel',
            'use_orig_params': True,  # else a part would be frozen or trained as one
            'auto_wrap_policy': lambda module, recurse, nonwrapped_numel: recurse or module in blocks,
            'ignored_states': beside,
            **options,
            **(self.model_wrapper or {}),
        }
        return super()._wrap_model(model)

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> BaseOptimWrapper:
        """The wrapper with the groups of the whole model, of its shards in ``model``."""
        assert isinstance(model, FullyShardedDataParallel)
        built, shards = self._optim_wrapper, {plain_name(name): shard for name, shard in model.named_parameters()}
        for group, names in zip(self._groups(built), self._group_names, strict=True):
            group['params'] = [shards[name] for name in names]
        if getattr(built, 'clip_func', None) is nn.utils.clip_grad_norm_:
            built.clip_func = lambda parameters, **options: model.clip_grad_norm_(**options)
        return built

    @staticmethod
    def _groups(optim_wrapper: Any) -> list[dict]:
        return optim_wrapper.optimizer.param_groups

    # -- checkpoints -------------------------------------------------------------------------------------------

    def save_checkpoint(self, filename: str, **kwargs: Any) -> None:
        """mmengine's, which is either whole or not there. All processes call it; the first one writes."""
        if '://' in filename:
            super().save_checkpoint(filename, **kwargs)
            return
        unfinished = Path(filename + UNFINISHED)
        try:
            super().save_checkpoint(str(unfinished), **kwargs)
            if is_main_process():
                with unfinished.open('rb+') as file:
                    os.fsync(file.fileno())
                unfinished.replace(filename)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def model_state_dict(self) -> dict:
        """The weights in whole, on the CPU; empty but in the first process."""
        return weights_to_cpu(super().model_state_dict())  # FSDP moves only what it splits

    def load_model_state_dict(self, state_dict: dict, **kwargs: Any) -> None:  # type: ignore[override]
        """Nothing: the weights are there since before the model was split.

        Raises:
            RuntimeError: They are not.
        """
        if self.weights is None:
            raise RuntimeError('a model in shards reads no weights; ShardedRunner does it before')

    def optim_state_dict(self) -> dict:
        """The optimiser's states in whole, by the parameters' names; empty but in the first process."""
        whole = FullyShardedDataParallel.optim_state_dict(self.model, self.optim_wrapper.optimizer)
        return self.optim_wrapper.state_dict() | whole if whole else {}

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load what `optim_state_dict` gave, or the states of the same run without shards."""
        numbers = [number for group in state_dict['param_groups'] for number in group['params']]
        names = [name for group in self._group_names for name in group]
        name_of = dict(zip(numbers, names, strict=True))
        named = {
            'state': {name_of[number]: values for number, values in state_dict['state'].items()},
            'param_groups': [
                group | {'params': [name_of[number] for number in group['params']]}
                for group in state_dict['param_groups']
            ],
        }
        shards = FullyShardedDataParallel.optim_state_dict_to_load(self.model, self.optim_wrapper.optimizer, named)
        self.optim_wrapper.load_state_dict(state_dict | shards)


def plain_name(name: str) -> str:
    """A parameter's name in the model as it was before FSDP wrapped it."""
    return name.replace('_fsdp_wrapped_module.', '')


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a run's model, wrapped or not.

    All processes call it. Of a model in shards, the first one gets the weights in whole, the others nothing.
    """
    unwrap = is_model_wrapper(model) and not isinstance(model, FullyShardedDataParallel)
    whole: Any = model.module if unwrap else model
    return whole.state_dict()
