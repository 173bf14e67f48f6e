"""Checkpoints: never half-written, and none is deleted before its successor is complete."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.runner import Runner

from ..backbones import find_backbones, unwrap
from ..backbones.checkpoints import SCHEMA
from ..errors import RunError
from ..io import UNFINISHED, AtomicBackend
from ..registry import HOOKS
from .exact_resume_hook import share_buffers
from .provenance_hook import fingerprints
from .run_errors import last_good


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """Save checkpoints atomically: a file appears when it is complete, and an older one is deleted only after that.

    Weights that are not finite are not saved. A full or missing disk ends the run in all ranks. Fingerprints of trunk
    and adapters are in ``meta['fingerprints']``.

    Args:
        interval: Epochs or iterations from one checkpoint to the next.
        trained_only: Leave a frozen trunk out. Such a checkpoint names its trunk, loads it from the backbone's
            ``init_cfg`` or from where it was, and refuses any other.
        **kwargs: Of `mmengine.hooks.CheckpointHook`: ``by_epoch``, ``max_keep_ckpts``, ``save_best``, …

    Raises:
        RunError: A checkpoint could not be written, its weights are not finite, or no metric has the name of
            ``save_best``.
        TypeError: An unknown setting, which mmengine would report at the first save.
    """

    backend_args: dict | None
    best_ckpt_path: str | None
    best_ckpt_path_dict: dict[str, Any]

    def __init__(self, interval: int = -1, trained_only: bool = True, **kwargs: Any) -> None:
        super().__init__(interval, **kwargs)
        for name in self.args:
            if name not in signature(Runner.save_checkpoint).parameters:
                raise TypeError(f'{type(self).__name__} got an unexpected keyword argument {name!r}')
        self.trained_only = trained_only

    def before_train(self, runner: Runner) -> None:
        directory = str(self.out_dir or runner.work_dir)
        if self.backend_args is None and '://' not in directory:
            self.backend_args = {'backend': 'atomic'}
        super().before_train(runner)
        if self.backend_args == {'backend': 'atomic'} and is_main_process():
            for path in Path(self.out_dir).glob(f'*.pth{UNFINISHED}'):  # of a run that was killed while it saved
                path.unlink()

    # What the ranks do together fails in all of them, or the others would wait for the one that failed.

    def _save_checkpoint(self, runner: Runner) -> None:
        self._together(runner, lambda: super(CheckpointHook, self)._save_checkpoint(runner))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if not metrics:  # as of a detector that finds nothing yet
            runner.logger.warning('The validation has measured nothing: no best checkpoint is saved')
            return
        unknown = [name for name in self.key_indicators if name != 'auto' and name not in metrics]
        if unknown:
            raise RunError(
                f'save_best is {", ".join(unknown)}, and the validation measures {", ".join(metrics)}: name one of '
                'these in default_hooks.checkpoint.save_best'
            )
        self._together(runner, lambda: self._replace_best(runner, metrics))

    def _together(self, runner: Runner, save: Callable[[], None]) -> None:
        share_buffers(runner.model)  # the other ranks go on from what is saved, as after a resume
        failure = None
        try:
            save()
        except RunError as error:
            failure = str(error)
        except OSError as error:
            failure = f'no checkpoint could be written to {self.out_dir}: {error}. {last_good(runner.work_dir)}'
        failures = [one for one in all_gather_object(failure) if one is not None]
        if failures:
            raise RunError(failures[0])

    # -- delete after, not before ------------------------------------------------------------------------------

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        name = self.filename_tmpl.format(step)
        outdated = []
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            # The file names those that are to be deleted too: should nobody get to it, the resumed run will.
            runner.message_hub.update_info('keep_ckpt_ids', [*self.keep_ckpt_ids, step])
            outdated = list(self.keep_ckpt_ids)[: len(self.keep_ckpt_ids) + 1 - self.max_keep_ckpts]
        path = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', path)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self.last_ckpt = path
        if is_main_process():
            # Beside the logs, where --resume looks, wherever the checkpoint itself goes.
            AtomicBackend().put_text(path, str(Path(runner.work_dir) / 'last_checkpoint'))
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            self.keep_ckpt_ids.append(step)  # a deque that lets go of the oldest
        for old in outdated:
            self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def _replace_best(self, runner: Runner, metrics: dict) -> None:
        # Without a known best file, mmengine removes none before it writes the new one.
        if len(self.key_indicators) == 1:
            before = {'': self.best_ckpt_path}
            self.best_ckpt_path = None
        else:
            before = dict(self.best_ckpt_path_dict)
            self.best_ckpt_path_dict = dict.fromkeys(before)
        super()._save_best_checkpoint(runner, metrics)
        for indicator, old in before.items():
            new = self.best_ckpt_path_dict[indicator] if indicator else self.best_ckpt_path
            if new is None and indicator:
                self.best_ckpt_path_dict[indicator] = old
            elif new is None:
                self.best_ckpt_path = old
            elif old and old != new:
                self._remove(old)

    def _remove(self, path: str) -> None:
        if is_main_process():
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # as DeepSpeed saves
                self.file_backend.rmtree(path)

    # -- what is in it -----------------------------------------------------------------------------------------

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = unwrap(runner.model)
        state = checkpoint['state_dict']
        names = [name for name, value in model.named_parameters() if value.requires_grad]
        # Statistics of batch norm too: a step that a loss scale skips leaves weights as they were, and those not.
        names += [name for name, _ in model.named_buffers()]
        broken = [name for name in names if name in state and not torch.isfinite(state[name]).all()]
        if broken:
            raise RunError(
                f'after {runner.iter + 1} iterations {len(broken)} parameters or buffers are not finite, {broken[0]} '
                f'the first. No checkpoint was written. {last_good(runner.work_dir)}. A lower learning rate, a longer '
                'warm-up or optim_wrapper.clip_grad may help'
            )
        # Last of all hooks: EMAHook has put the averaged weights here, and the current ones beside them.
        checkpoint['meta']['fingerprints'] = fingerprints(runner, state)
        checkpoint['meta']['daga_mm_schema'] = SCHEMA
        for name, backbone in find_backbones(model).items():
            prefix = f'{name}.' if name else ''
            backbone.finish_state_dict(state, prefix, self.trained_only)
            if 'ema_state_dict' in checkpoint:
                backbone.finish_state_dict(checkpoint['ema_state_dict'], f'module.{prefix}', self.trained_only)
