"""Record weight fingerprints with metrics."""

from collections.abc import Mapping
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend
from torch import Tensor

from ..backbones import find_backbones
from ..registry import HOOKS


@HOOKS.register_module()
class ProvenanceHook(Hook):
    """Write the fingerprints of trunk and adapters beside metrics; `CheckpointHook` writes them into checkpoints.

    In the JSON file of a test they are ``trunk`` and ``adapters``; in the log of a training run, the line before each
    validation's.
    """

    # The logger, which writes the file of a test, comes after, and so does EMAHook, which takes its weights back.
    priority = 'HIGH'

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if not is_main_process():
            return
        # Only the local files: TensorBoard and the like take no words among their scalars.
        for backend in runner.visualizer._vis_backends.values():
            if isinstance(backend, LocalVisBackend):
                step = 0 if isinstance(runner._train_loop, dict | None) else runner.iter
                backend.add_scalars(fingerprints(runner), step=step)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        found: list[Any] = [fingerprints(runner) if is_main_process() else None]
        broadcast_object_list(found)  # every process writes the file of a test
        for part, value in found[0].items():
            runner.message_hub.update_info(f'test/{part}', value)


def fingerprints(runner: Runner, state_dict: Mapping[str, Tensor] | None = None) -> dict[str, str]:
    """The fingerprints of the runner's backbone; empty if it has no DAGAViT.

    Args:
        runner: Of the run.
        state_dict: Weights to take in place of the model's own.
    """
    for name, backbone in find_backbones(runner.model).items():
        prefix = f'{name}.' if name else ''
        return backbone.fingerprints() if state_dict is None else backbone.fingerprints(state_dict, prefix)
    return {}
