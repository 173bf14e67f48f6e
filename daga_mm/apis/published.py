"""A published model: a folder with a card, a config and weights, which `load` takes."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..backbones.checkpoints import TrunkId
from ..cli.config import path_defaults
from .inferencers import kind_of

HUB_TASKS = {
    'detection': 'object-detection',
    'segmentation': 'image-segmentation',
    'depth': 'depth-estimation',
    'classification': 'image-classification',
}
OFFICIAL = re.compile(r'(dinov3_vit\w+_pretrain_\w+)-[0-9a-f]{8}\.pth')  # Meta's names of files
DINOV3_LICENCE: dict[str, Any] = dict(
    license='other',
    license_name='dinov3-license',
    license_link='https://ai.meta.com/resources/models-and-libraries/dinov3-license/',
)
OF_A_RUN = ('work_dir', 'load_from', 'resume', 'launcher')  # settings of this machine
NO_METRICS = ('trunk', 'adapters', 'step', 'time', 'data_time')


def find_published(folder: Path) -> tuple[Path, Path]:
    """The config and the weights in the folder of a published model.

    Raises:
        FileNotFoundError: There is not one of each.
    """
    configs, weights = (sorted(folder.glob(f'*.{suffix}')) for suffix in ('py', 'safetensors'))
    if len(configs) != 1 or len(weights) != 1:
        raise FileNotFoundError(
            f'{folder} holds {len(configs)} configs (*.py) and {len(weights)} weight files (*.safetensors), expected '
            'one of each: the folder that tools/publish_model.py wrote'
        )
    return configs[0], weights[0]


def shareable(config: Config, folder: Path) -> Config:
    """The config without settings of this machine.

    Paths of ``configs/_base_/paths.py`` are set to the defaults there. Other absolute paths are made relative to
    ``folder`` or to the working directory if they are below it, else reduced to their last part.
    """
    moved = {config[name]: default for name, default in path_defaults().items() if name in config}

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(clean, value))
        if not isinstance(value, str):
            return value
        for found, default in moved.items():
            if value == found or value.startswith(f'{found}/'):
                return default + value.removeprefix(found)
        if not os.path.isabs(value):
            return value
        for base in (folder.absolute(), Path.cwd()):
            if Path(value).is_relative_to(base):
                return str(Path(value).relative_to(base))
        return Path(value).name

    return Config({key: clean(value) for key, value in config.to_dict().items() if key not in OF_A_RUN})


def read_metrics(path: Path, fingerprints: Mapping[str, str]) -> dict[str, float]:
    """The metrics in a JSON file of ``tools/test.py``, if they belong to these weights.

    Args:
        path: The file.
        fingerprints: Those of 'trunk' and 'adapters', compared with those in the file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not such a file, or it belongs to other weights.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no metrics {path}')
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not fingerprints.keys() <= found.keys():
        raise ValueError(
            f'{path} has no metrics with fingerprints, expected WORK_DIR/TIMESTAMP/TIMESTAMP.json of a test'
        )
    for part, value in fingerprints.items():
        if found[part] != value:
            raise ValueError(
                f'{path} was measured with other weights: the fingerprint of {part} is {found[part]}, that of the '
                f'checkpoint {value}. Evaluate this checkpoint with tools/test.py'
            )
    return {key: value for key, value in found.items() if key not in NO_METRICS and isinstance(value, int | float)}


def model_card(
    name: str,
    config: Config,
    trunk: TrunkId,
    meta: Mapping[str, Any],
    sizes: Mapping[str, int],
    metrics: Mapping[str, float],
    licence: str | None = None,
    with_trunk: bool = False,
) -> str:
    """A model card: Markdown with the metadata that model hubs read (huggingface.co/docs/hub/model-cards).

    Args:
        name: Of the model and its config.
        config: Its config.
        trunk: The pretrained trunk.
        meta: The checkpoint's metadata: 'fingerprints', and 'dataset_meta' with the names of classes.
        sizes: Numbers of parameters: 'trained' and 'total'.
        metrics: Scores by name; may be empty.
        licence: An identifier of the hub; None: DINOv3's for weights that were trained on it, as its
            licence asks, else 'unknown'.
        with_trunk: Whether the weights contain the trunk.
    """
    from huggingface_hub import EvalResult, ModelCardData

    task, data = kind_of(config).task, _data_name(config)
    official = OFFICIAL.fullmatch(trunk.file)
    terms: dict[str, Any] = dict(license=licence or 'unknown')
    if official and not licence:
        terms = DINOV3_LICENCE
    adapter = _adapter(config)
    hub_task = HUB_TASKS[task]
    results = [
        EvalResult(
            task_type=hub_task, dataset_type=data.lower(), dataset_name=data, metric_type=key, metric_name=key,
            metric_value=value,
        )
        for key, value in metrics.items()
    ]  # fmt: skip
    header = ModelCardData(
        model_name=name,
        library_name='daga_mm',
        pipeline_tag=hub_task,
        base_model=f'facebook/{official[1].replace("_", "-")}' if official else None,
        base_model_relation='adapter' if official and not with_trunk else None,
        datasets=[data],
        metrics=[*metrics] or None,
        tags=[task, trunk.arch, adapter.lower()],
        eval_results=results or None,
        trunk=dict(arch=trunk.arch, source=trunk.source, file=trunk.file, fingerprint=trunk.fingerprint),
        adapter=dict(method=adapter, fingerprint=meta['fingerprints']['adapters']),
        config=f'{name}.py',
        **terms,
    )
    classes = (meta.get('dataset_meta') or {}).get('classes') or ()
    names = ', '.join(map(str, classes[:5])) + ' …' * (len(classes) > 5)
    rows = {
        'task': task,
        'data': f'{data}, {len(classes)} classes: {names}' if classes else data,
        'trunk': f'`{trunk.arch}`, `{trunk.file}`, fingerprint `{trunk.fingerprint}`; '
        + ('in the weights' if with_trunk else 'not in the weights'),
        'adapter': f'{adapter}, fingerprint `{meta["fingerprints"]["adapters"]}`',
        'parameters': f'{sizes["trained"]:,} trained of {sizes["total"]:,}',
        'config': f'[`{name}.py`]({name}.py)',
        'licence': terms.get('license_name', terms['license']),
    }
    lines = [
        f'---\n{header.to_yaml()}\n---\n',
        f'# {name}\n',
        '| | |\n| --- | --- |',
        *(f'| {key} | {value} |' for key, value in rows.items()),
        '\n## Use\n',
        '```python\nfrom daga_mm.apis import load\n',
        "model = load('path/to/this/folder')",
        "model.predict('image.jpg').draw('picture.png')\n```\n",
    ]
    if not with_trunk:
        where = 'the folder that `DINOV3_CHECKPOINTS` names, or into `checkpoints`'
        lines.append(f'The trunk is not in the weights: put `{trunk.file}` into {where}.')
    lines += ['A config is a program: load models of people that you trust.', '\n## Results\n']
    if metrics:
        lines += ['Measured with these weights, as their fingerprints say.\n', '| metric | value |\n| --- | --- |']
        lines += [f'| {key} | {value:g} |' for key, value in metrics.items()]
    else:
        lines.append('Not measured.')
    return '\n'.join(lines) + '\n'


def _adapter(config: Config) -> str:
    backbone = config.model.backbone
    adapters = backbone.get('adapter', 'daga')
    if not adapters:
        return 'frozen' if backbone.get('frozen', True) else 'full fine-tuning'
    names = [adapters] if isinstance(adapters, str | dict) else adapters
    return ' + '.join(one if isinstance(one, str) else one['type'] for one in names)


def _data_name(config: Config) -> str:
    """The data set's class; of a class for any data, the folder."""
    dataset = config.test_dataloader.dataset
    name = dataset.type.rpartition('.')[2].removesuffix('Dataset')
    return Path(dataset.get('data_root') or name).name if name in ('Custom', 'BaseSeg', 'BaseDet') else name
