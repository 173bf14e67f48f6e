"""DAGAViT: a frozen vision foundation model with adapters."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..registry import MODELS
from .adapted_vit import AdaptedViT, Prefix
from .checkpoints import KEY, TrunkId, backbone_prefix, below, compare, fingerprint, load_trunk, read_weights
from .trunk import build_trunk


@MODELS.register_module()
class DAGAViT(AdaptedViT):
    """A frozen vision transformer with DAGA or other adapters.

    Args:
        arch: 'dinov3_vits16', 'dinov3_vits16plus', 'dinov3_vitb16', 'dinov3_vitl16', 'dinov3_vith16plus',
            'dinov3_vit7b16', or any ViT or EVA model of timm by name. A dict has the name under ``name`` and
            changes to the architecture beside it: ``dict(name='dinov3_vits16', embed_dim=96, depth=6)``.
        source: Library that builds the trunk: 'timm', or 'dinov3' for the installed official package.
        adapter: A name ('daga', 'lora', 'adaptformer', 'mona', 'bitfit', 'last_blocks'), ``dict(type='DAGA', …)``
            with the options of its class in `daga_mm.adapters`, a list of these, or None, the plain frozen trunk.
        out_indices: Blocks whose maps are returned. None: the quarter ends, 2 5 8 11 of 12.
        out_type: 'featmap' (B, D, h, w); 'cls_token' (B, D); 'cls_avg' (B, 2D), the class token and the mean
            patch.
        with_image: Put the image itself in front of the outputs, for a neck with a spatial prior.
        frozen: False trains the trunk too, the full fine-tuning baseline; ``adapter`` must be None.
        trunk_dtype: 'bfloat16' stores the weights of a frozen trunk's linear and convolution layers in bfloat16, half
            the memory. Equal to float32 weights under bfloat16 autocast bit for bit; without autocast, the backbone
            enables its own.
        with_cp: Recompute activations in the backward pass, to save memory.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH)``: official DINOv3, timm, or a checkpoint of daga_mm.
            None leaves the trunk random, which is for tests.

    Outputs are taken after the trunk's final norm, one per out_index. h = ceil(H / patch): images are padded
    with zeros (the mean colour, after the usual normalisation) at the right and the bottom. The padding takes
    part in the attention, as in the trunk itself.

    Raises:
        ValueError: Layers out of range or without influence on any output, unknown options, an adapter that the
            trunk cannot have.
    """

    def __init__(
        self,
        arch: str | dict = 'dinov3_vitb16',
        source: str = 'timm',
        adapter: str | dict | Sequence[str | dict] | None = 'daga',
        out_indices: Sequence[int] | None = None,
        out_type: Literal['featmap', 'cls_token', 'cls_avg'] = 'featmap',
        with_image: bool = False,
        frozen: bool = True,
        trunk_dtype: Literal['bfloat16'] | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if init_cfg is not None and (init_cfg.get('type') != 'Pretrained' or not init_cfg.get('checkpoint')):
            raise ValueError(f"init_cfg is {init_cfg}, expected dict(type='Pretrained', checkpoint=PATH) or None")
        if trunk_dtype not in (None, 'bfloat16') or (trunk_dtype and not frozen):
            raise ValueError(f"trunk_dtype is {trunk_dtype!r}, expected None, or 'bfloat16' for a frozen trunk")
        if adapter and not frozen:
            raise ValueError(
                f'frozen=False trains the whole trunk, without an adapter: set adapter=None, not {adapter}'
            )
        trunk = build_trunk(arch, source, trunk_dtype and torch.bfloat16)
        super().__init__(trunk, adapter, out_indices, out_type, with_image, frozen, trunk_dtype, with_cp, init_cfg)
        self.source = source
        self.register_load_state_dict_post_hook(_forgive_absent_trunk)

    def init_weights(self) -> None:
        """Load the trunk from init_cfg, and the adapters too if it is a checkpoint of daga_mm with adapters."""
        if self.init_cfg is None:
            print_log(f'{self.arch}: the trunk is random, since init_cfg=None', 'current', logging.WARNING)
        else:
            self._load_pretrained(self.init_cfg['checkpoint'])
        self._is_init = True

    def _load_pretrained(self, path: str | Path) -> None:
        state = read_weights(path)
        prefix = backbone_prefix(state)
        if prefix is None:
            weights = load_trunk(self.trunk, state, str(path))
            self.trunk_id = TrunkId(self.arch, self.source, weights, str(Path(path).absolute()))
        else:
            self._load_own(below(state, prefix), path)
        print_log(f'{self.arch}: loaded {path}, trunk fingerprint {self.fingerprints()["trunk"]}', 'current')

    def _load_own(self, state: dict[str, Tensor], path: str | Path) -> None:
        """Load a checkpoint of daga_mm as init_cfg: its adapters, and its trunk, from the named file if necessary."""
        whole = below(state, 'trunk.').keys() >= self.trunk.state_dict().keys()
        if not whole:
            wanted = TrunkId.from_tensor(state[KEY]) if KEY in state else None
            file = None if wanted is None else wanted.find()
            if file is None:
                raise ValueError(
                    f'{path} does not hold its trunk, {wanted or "which it does not name"}: put that file in its place '
                    'or into $DINOV3_CHECKPOINTS'
                )
            self._load_pretrained(file)
        elif not self.adapters:  # only the trunk is wanted
            state = {key: value for key, value in state.items() if not key.startswith('adapters.')}
        problems = compare(below(self.state_dict(), 'adapters.'), below(state, 'adapters.'))
        if problems:
            raise ValueError(
                f'the adapters in {path} are not those of this config, {self._adapter_names()}:\n{problems}'
            )
        self.load_state_dict(state)
        if whole and self.trunk_id is not None and not Path(self.trunk_id.file).is_file():
            self.trunk_id = TrunkId(**{**vars(self.trunk_id), 'file': str(Path(path).absolute())})

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Accept a state dict with the whole trunk, exactly its trained part, or none; then its file is loaded."""
        given, expected = below(state_dict, f'{prefix}trunk.'), self.trunk.state_dict()
        named = state_dict.pop(f'{prefix}{KEY}', None)
        wanted = None if named is None else TrunkId.from_tensor(named)
        if given.keys() == self.trained_in_trunk():
            self._provide_trunk(wanted)
            expected = {key: expected[key] for key in given}
        else:
            untouched = self.frozen and not self.trained_in_trunk()
            weights = fingerprint(below(given, 'model.')) if untouched and wanted is None else 'unknown'
            self.trunk_id = wanted or TrunkId(self.arch, self.source, weights, 'a checkpoint')
        if self.trunk_dtype is None and any(value.dtype == torch.bfloat16 for value in given.values()):
            raise ValueError("the checkpoint holds its trunk rounded to bfloat16: set backbone.trunk_dtype='bfloat16'")
        problems = compare(expected, given)
        if problems:
            raise ValueError(f'the trunk in the checkpoint is not a {self.arch} of {self.source}:\n{problems}')
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _provide_trunk(self, wanted: TrunkId | None) -> None:
        """Load the pretrained trunk that a state dict without one belongs to; refuse another."""
        if self.trunk_id is None:
            path = None if self.init_cfg is None else self.init_cfg['checkpoint']
            # Training may have used another file, by an option that need not be repeated.
            file = None if wanted is None or (path and Path(path).is_file()) else wanted.find()
            if path is None and file is None:
                raise ValueError(
                    f'the checkpoint does not hold the trunk, {wanted or "which it does not name"}, and this model has '
                    'no init_cfg to load it from (inference in mmdet and mmseg removes it): set DINOV3_CHECKPOINTS to '
                    'the folder of that file, or put the trunk into the checkpoint, tools/publish_model.py --trunk'
                )
            self._load_pretrained(file or str(path))
        found = self.trunk_id
        if wanted and found and (found.source, found.fingerprint) != (wanted.source, wanted.fingerprint):
            raise ValueError(f'the checkpoint was trained on the trunk {wanted}; this model has {found}')

    def finish_state_dict(self, state_dict: dict[str, Tensor], prefix: str = '', trained_only: bool = True) -> None:
        """Add the trunk's id to a state dict, and remove the part of the trunk that was not trained and is in a file.

        Loading such a state dict loads the trunk from ``init_cfg``, or from its file in training, and refuses another.

        Args:
            state_dict: State dict of a model, changed in place.
            prefix: Of this backbone's keys, 'backbone.'.
            trained_only: False keeps all of the trunk.
        """
        if self.trunk_id is None:
            return
        if trained_only and self.frozen and Path(self.trunk_id.file).is_file():
            trained = {f'{prefix}trunk.{key}' for key in self.trained_in_trunk()}
            for key in [key for key in state_dict if key.startswith(f'{prefix}trunk.') and key not in trained]:
                del state_dict[key]
        state_dict[f'{prefix}{KEY}'] = self.trunk_id.as_tensor()

    def fingerprints(self, state_dict: Mapping[str, Tensor] | None = None, prefix: str = '') -> dict[str, str]:
        """Short hashes: 'trunk', of the loaded pretrained file; 'adapters', of all that is trained in the backbone.

        A trunk without a file is 'random'; a backbone without anything trained has 'none' for adapters.

        Args:
            state_dict: The weights; by default those of this backbone.
            prefix: Of the backbone's keys in ``state_dict``.
        """
        state = below(self.state_dict() if state_dict is None else state_dict, prefix)
        trained = {f'trunk.{key}' for key in (self.trained_in_trunk() if self.frozen else self.trunk.state_dict())}
        state = {key: value for key, value in state.items() if key.startswith('adapters.') or key in trained}
        return {
            'trunk': 'random' if self.trunk_id is None else self.trunk_id.fingerprint,
            'adapters': fingerprint(state) if state else 'none',
        }

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """For layer-wise learning rates: (depth of the parameter, number of depths).

        The embedding has depth 0, block i has i + 1; the final norm and the adapters the last, depth + 1.
        """
        name, num_depths = param_name.removeprefix(prefix), self.num_layers + 2
        if name.startswith('trunk.'):
            return self.trunk.layer_depth(name.removeprefix('trunk.')), num_depths
        return num_depths - 1, num_depths

    def run_prefix(self, images: Tensor) -> Prefix:
        """Run the part that is the same for every frozen model on this trunk: images (B, 3, H, W) -> `Prefix`."""
        self._require_trunk()
        return super().run_prefix(images)

    def guidance_map(self, images: Tensor, normalize: bool = True) -> Tensor:
        self._require_trunk()
        return super().guidance_map(images, normalize)

    def _require_trunk(self) -> None:
        if self.trunk_id is None and self.init_cfg is not None:
            raise RuntimeError(
                f'{self.arch} has no weights yet: load a checkpoint or call init_weights() before the first forward '
                f'pass (init_cfg names {self.init_cfg["checkpoint"]}). For a random trunk set '
                'init_cfg=None.'
            )


def _forgive_absent_trunk(backbone: DAGAViT, incompatible: Any) -> None:
    """Accept a checkpoint without the trunk, which was loaded from its file."""
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if 'trunk.model.' not in key]
