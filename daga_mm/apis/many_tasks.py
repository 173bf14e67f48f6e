"""Models of several tasks on one frozen trunk."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from mmengine.logging import print_log

from ..backbones import DAGAViT, Trunk, shared_blocks
from .images import Images, as_list, in_batches, is_one
from .inferencers import Size
from .model import Model, Result, load

Paths = str | Path | tuple[str | Path, str | Path]


class Tasks:
    """Models of several tasks, as `load_tasks` returns them.

    Attributes:
        models: By name, the models; each can be used alone as well.
        trunk: The trunk that models share; None if each has its own.
        own_trunk: By name, the reason for a model's own trunk.
        shared_until: By name, the number of blocks of the shared trunk that a model runs unadapted. They run once for
            all models whose preprocessed images are equal.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = dict(models)
        self.own_trunk = {name: why for name, model in models.items() if (why := _own_trunk(model))}
        sharing = {name: model for name, model in models.items() if name not in self.own_trunk}
        self.trunk = _share_trunk(sharing)
        self.shared_until = {name: model.model.backbone.first_block for name, model in sharing.items()}
        for name, why in self.own_trunk.items():
            print_log(f'{name} has a trunk of its own: {why}', 'current')
        if sharing:
            blocks = ', '.join(f'{name} {count}' for name, count in self.shared_until.items())
            print_log(
                f'{", ".join(sharing)} share one trunk; blocks that run once for equal images: {blocks}', 'current'
            )

    def predict(
        self, images: Images, *, batch_size: int = 1, size: Size | None = None, progress: bool = True
    ) -> dict[str, Result] | list[dict[str, Result]]:
        """Predict all tasks of one image, or of several.

        Models whose preprocessed images are equal share the blocks that they run unadapted (`shared_until`).

        Args:
            images: As for `Model.predict`.
            batch_size: Images at once.
            size: (height, width) to which every task resizes images, whatever their aspect ratio, so that preprocessed
                images are equal: multiples of 32, to which detectors pad. None: as each config's test pipeline does.
            progress: Show a bar for several images.

        Returns:
            By name, the tasks' results, or a list of such dicts for a list or a folder.

        Raises:
            RunError: As `Model.predict`, whose other errors it shares.
        """
        found = list(self.stream(images, batch_size=batch_size, size=size, progress=progress and not is_one(images)))
        return found[0] if is_one(images) else found

    def stream(
        self, images: Images, *, batch_size: int = 1, size: Size | None = None, progress: bool = False
    ) -> Iterator[dict[str, Result]]:
        """Yield the same results one by one, for folders whose results do not fit into memory."""
        for batch in in_batches(as_list(images), batch_size, progress):
            with nullcontext() if self.trunk is None else shared_blocks(self.trunk):
                found = {
                    name: list(model.stream(batch, batch_size=batch_size, size=size))
                    for name, model in self.models.items()
                }
            for number in range(len(batch)):
                yield {name: results[number] for name, results in found.items()}


def load_tasks(
    tasks: Mapping[str, Paths],
    device: str | None = None,
    dtype: Literal['float16', 'bfloat16'] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Tasks:
    """Load models of several tasks; those with the same unchanged pretrained trunk share it in memory.

    Adapters that work inside blocks or train the trunk's weights (LoRA, AdaptFormer, Mona, BitFit, LastBlocks), and
    full fine-tuning, need a trunk of their own: see the log and `Tasks.own_trunk`.

    Args:
        tasks: By name, config and checkpoint, or the folder of a published model: the arguments of `load`.
        device: As for `load`.
        dtype: As for `load`.
        options: As for `load`, for all configs.

    Raises:
        ValueError: A model has no DAGAViT, or another trunk than the others. Other errors are those of `load`.
    """
    if not tasks:
        raise ValueError('found no tasks, expected at least one')
    models = {}
    for name, paths in tasks.items():
        config, checkpoint = paths if isinstance(paths, tuple) else (paths, None)
        models[name] = load(config, checkpoint, device, dtype, options)
        if not isinstance(models[name].model.backbone, DAGAViT):
            kind = type(models[name].model.backbone).__name__
            raise ValueError(f'{name} has a {kind} for its backbone, expected a DAGAViT, whose trunk tasks can share')
    return Tasks(models)


def _own_trunk(model: Model) -> str | None:
    """Why a model cannot share its trunk; None if it can."""
    backbone = model.model.backbone
    if not backbone.frozen:
        return 'its trunk was trained'
    if backbone.trunk_id is None:
        return 'its trunk is random'
    inside = [type(adapter).__name__ for adapter in backbone.adapters.values() if adapter.works_inside]
    return f'{", ".join(inside)} changes its blocks' if inside else None


def _share_trunk(models: Mapping[str, Model]) -> Trunk | None:
    """Give all models the trunk of the first.

    Raises:
        ValueError: Their trunks are not the same.
    """
    if not models:
        return None
    first, *others = models
    trunk = models[first].model.backbone.trunk
    expected = _identity(models[first])
    for name in others:
        found = _identity(models[name])
        differing = [key for key in expected if found[key] != expected[key]]
        if differing:
            words = ', '.join(f'{key} {found[key]} instead of {expected[key]}' for key in differing)
            raise ValueError(
                f'{name} has another trunk than {first}: {words}. Its trunk is {models[name].model.backbone.trunk_id}, '
                f'expected {models[first].model.backbone.trunk_id}. Load it separately'
            )
        backbone = models[name].model.backbone
        for index in backbone.trunk.taps:
            trunk.tap(int(index))
        backbone.trunk = trunk
    return trunk


def _identity(model: Model) -> dict[str, Any]:
    """Properties that are equal for two trunks with the same results."""
    backbone = model.model.backbone
    arch = model.config.model.backbone.get('arch', backbone.arch)
    return dict(
        fingerprint=backbone.trunk_id.fingerprint,
        source=backbone.source,
        arch=dict(name=arch) if isinstance(arch, str) else dict(arch),
        trunk_dtype=backbone.trunk_dtype,
    )
