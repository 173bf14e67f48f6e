"""Make a folder to share from a checkpoint: a model card, the config, and the weights alone, as safetensors.

    python tools/publish_model.py CONFIG CHECKPOINT --out DIR --metrics WORK_DIR/TIMESTAMP/TIMESTAMP.json

The folder is DIR/NAME-HASH; daga_mm.apis.load takes it as it is. What was trained goes in: adapters, neck and head. The
frozen trunk stays out, since its licence is its makers'; the file names it, loads onto it, and refuses any other.
--trunk puts it in, from wherever the config or the checkpoint has it, for a file that works alone. Each kind is made
from either. The card (README.md) has the metadata that model hubs read; its metrics are those of a test of these very
weights, or there are none.
"""

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import daga_mm
from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, folder, make_parser
from daga_mm.errors import as_run_error

if TYPE_CHECKING:  # functions import what takes its time, torch above all: help and argument errors come before
    from mmengine.config import Config
    from torch import Tensor

    from daga_mm.backbones import DAGAViT
    from daga_mm.backbones.checkpoints import TrunkId

KEPT = ('daga_mm_schema', 'dataset_meta', 'epoch', 'iter', 'experiment_name', 'mmengine_version', 'seed')


def publish(config: 'Config', checkpoint: dict, with_trunk: bool) -> tuple[dict[str, 'Tensor'], dict, 'TrunkId']:
    """What goes into the file: tensors, what there is to say of them, and the trunk that they belong to.

    Raises:
        ValueError: The checkpoint does not fit the config, or lacks a trunk that is not found.
    """
    from mmengine.registry import MODELS

    from daga_mm.backbones.checkpoints import KEY, backbone_prefix, below

    # Copies: weights that layers share are one tensor in a checkpoint, and safetensors takes each by itself.
    state = {key: value.clone() for key, value in checkpoint['state_dict'].items()}
    prefix = backbone_prefix(state)
    if prefix is None:
        raise ValueError('expected a checkpoint of a model with a DAGAViT, found none in it')
    backbone = MODELS.build(config.model.backbone)
    backbone.load_state_dict(below(state, prefix))  # brings the trunk, and checks all
    if backbone.trunk_id is None:
        raise ValueError('the trunk is random, so that nobody could use what was trained on it')
    own = {key: value.clone() for key, value in backbone.state_dict().items()}
    file = backbone.trunk_id.file
    if not with_trunk and backbone.frozen:
        file = (config.model.backbone.get('init_cfg') or {}).get('checkpoint')
        if file is None:
            raise ValueError('the config has no model.backbone.init_cfg that names the trunk: --trunk keeps it in')
        _require_same(backbone, config)
        trained = {f'trunk.{key}' for key in backbone.trained_in_trunk()}
        own = {key: value for key, value in own.items() if not key.startswith('trunk.') or key in trained}
    trunk = replace(backbone.trunk_id, file=Path(file).name)
    own[KEY] = trunk.as_tensor()
    state = {key: value for key, value in state.items() if not key.startswith(prefix)}
    state |= {prefix + key: value for key, value in own.items()}
    meta = {key: checkpoint['meta'][key] for key in KEPT if key in checkpoint.get('meta', {})}
    return state, meta | {'daga_mm_version': daga_mm.__version__, 'fingerprints': backbone.fingerprints()}, trunk


def _require_same(backbone: 'DAGAViT', config: 'Config') -> None:
    """The trunk of the checkpoint is the one that the config names, if that is here to be looked at."""
    from mmengine.registry import MODELS

    file = config.model.backbone.init_cfg.checkpoint
    if Path(file).is_file():
        other = MODELS.build(config.model.backbone)
        other.init_weights()
        if other.fingerprints()['trunk'] != backbone.fingerprints()['trunk']:
            raise ValueError(f'the trunk in the checkpoint is not that of {file}, which the config names')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint of a run, with or without the trunk')
    parser.add_argument('--out', type=folder, default=Path('.'), metavar='DIR', help='where it goes (default: .)')
    parser.add_argument('--trunk', action='store_true', help='put the trunk in')
    parser.add_argument('--metrics', type=Path, metavar='FILE', help='what tools/test.py wrote, for the card')
    parser.add_argument(
        '--license',
        metavar='ID',
        help="of the weights, for the card: an identifier of the hub (default: DINOv3's for its trunks, else unknown)",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        from daga_mm.cli.config import find_config, load_config, require_checkpoint, variable_environment

        with as_run_error(OSError, ValueError):
            config = load_config(args.config, args.cfg_options)
            require_checkpoint(args.checkpoint)
        from safetensors.torch import save

        from daga_mm.apis.published import model_card, read_metrics, shareable
        from daga_mm.engine import build_on_meta, count_parameters, require_fit
        from daga_mm.io import AtomicBackend, load_checkpoint_file

        model = build_on_meta(config)
        with as_run_error(OSError, ValueError):
            checkpoint = load_checkpoint_file(args.checkpoint)
            if 'state_dict' not in checkpoint:
                raise ValueError(f'{args.checkpoint} is not a checkpoint of a run: it has no state_dict')
            require_fit(model, args.checkpoint)
        with variable_environment(args.cfg_options):  # where a checkpoint without the trunk looks for it
            state, meta, trunk = publish(config, checkpoint, args.trunk)
        with as_run_error(OSError, ValueError):
            metrics = read_metrics(args.metrics, meta['fingerprints']) if args.metrics else {}
        content = save(state, {'format': 'pt', 'meta': json.dumps(meta)})
        name, digest = Path(args.config).stem, hashlib.sha256(content).hexdigest()[:8]
        out = args.out / f'{name}-{digest}'
        with_trunk = args.trunk or not config.model.backbone.get('frozen', True)
        sizes = count_parameters(model)
        card = model_card(name, config, trunk, meta, sizes, metrics, args.license, with_trunk)
        backend = AtomicBackend()
        backend.put_text(card, out / 'README.md')
        backend.put_text(shareable(config, find_config(args.config).parent).pretty_text, out / f'{name}.py')
        backend.put(content, out / f'{name}-{digest}.safetensors')
    print(f'{out}: {len(content) / 2**20:.1f} MiB')


if __name__ == '__main__':
    main()
