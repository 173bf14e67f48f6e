"""Run the frozen blocks once per image rather than once per epoch."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..backbones import DAGAViT, find_backbones, unwrap
from ..backbones.token_cache import TokenCache
from ..datasets import set_seed
from ..errors import RunError
from ..registry import HOOKS

DRAWS = 12  # times that images are loaded to see whether they are always the same


@HOOKS.register_module()
class TokenCacheHook(Hook):
    """Cache on disk what the blocks before the first adapted one compute: of a frozen backbone, the feature maps.

    Results are the same as without; only the first epoch runs these blocks. For pipelines that give an image always the
    same pixels, or these and their mirror image. The need of disk space is logged before training.

    Args:
        folder: Where the files go; several runs may share it.
        dtype: 'float32' is exact; 'bfloat16' and 'float16' need half the space.
        max_bytes: No more than this is written.

    Raises:
        RunError: The training pipeline changes images at random in other ways than by a flip, the trunk is trained, the
            adapter works from the first block on, or there is too little disk space.
    """

    def __init__(self, folder: str, dtype: str = 'float32', max_bytes: float = 20e9) -> None:
        self.cache = TokenCache(folder, dtype, max_bytes)

    def before_train(self, runner: Runner) -> None:
        backbone = self._install(runner)
        with _same_random_state(), torch.no_grad():
            images, copies = self._look_at_images(runner)
            entry = backbone.run_prefix(images)
        size = torch.empty((), dtype=getattr(torch, self.cache.dtype)).element_size()
        each = sum(tensor.numel() for tensor in backbone.prefix_tensors(entry).values()) * size / len(images)
        # All processes fill one folder, each with the images that it happens to get.
        need = each * len(runner.train_dataloader.dataset) * copies
        room = shutil.disk_usage(self.cache.folder).free
        words = f'{need / 1e9:.1f} GB for the training images ({each / 1e6:.1f} MB each'
        words += ', and as much for their mirror images)' if copies == 2 else ')'
        if need > min(room + self.cache.bytes, self.cache.max_bytes):
            raise RunError(
                f'the token cache in {self.cache.folder} needs about {words}; {room / 1e9:.1f} GB are free and '
                f'max_bytes is {self.cache.max_bytes / 1e9:.1f} GB. Choose another folder, smaller images or a '
                '16-bit dtype'
            )
        print_log(
            f'token cache in {self.cache.folder}: about {words}, {self.cache.bytes / 1e9:.1f} GB of it are there. '
            f'Blocks 0 to {backbone.first_block - 1} run once per image'
            + f', in {get_world_size()} processes'
            * (get_world_size() > 1),
            'current',
        )

    def before_test(self, runner: Runner) -> None:
        self._install(runner)

    def before_val(self, runner: Runner) -> None:
        self._install(runner)

    def _install(self, runner: Runner) -> DAGAViT:
        backbones = list(find_backbones(runner.model).values())
        if not backbones:
            raise RunError('TokenCacheHook caches the tokens of a daga_mm.DAGAViT, and this model has none')
        for backbone in backbones:
            if not backbone.frozen or backbone.first_block == 0:
                raise RunError(
                    'the token cache has nothing to store, since every block of this backbone is trained or adapted. '
                    'Remove TokenCacheHook, or adapt later blocks only, such as layers=(-2, -1)'
                )
            backbone.token_cache = self.cache
        return backbones[0]

    def _look_at_images(self, runner: Runner) -> tuple[torch.Tensor, int]:
        """Some preprocessed images of the training set, (B, 3, H, W), and in how many forms each comes.

        Raises:
            RunError: There are more forms than an image and its mirror image.
        """
        model = unwrap(runner.model)
        loader = runner.train_dataloader
        dataset, last = loader.dataset, len(loader.dataset) - 1
        forms: list[torch.Tensor] = []
        for draw in range(DRAWS):
            set_seed(draw)
            image = dataset[0]['inputs']
            if not any(torch.equal(image, form) for form in forms):
                forms.append(image)
        if len(forms) > 2 or (len(forms) == 2 and not torch.equal(forms[0].flip(-1), forms[1])):
            names = [type(transform).__name__ for transform in getattr(dataset.pipeline, 'transforms', ())]
            raise RunError(
                'the training pipeline gives an image other pixels each time, beyond a horizontal flip, so that a '
                f'token cache would never be read: {", ".join(names)}. Remove what is random from '
                'train_dataloader.dataset.pipeline, or remove TokenCacheHook'
            )
        items = [dataset[last * number // 3] for number in range(4)]
        batch, again = (model.data_preprocessor(loader.collate_fn(items), True)['inputs'] for _ in range(2))
        alone = model.data_preprocessor(loader.collate_fn(items[:1]), True)['inputs']
        if not torch.equal(batch, again) or not torch.equal(batch[:1], alone):
            raise RunError(
                'model.data_preprocessor gives an image other pixels in another batch, by random numbers or by padding '
                'to the largest image of a batch, so that a token cache would seldom be read. Resize or crop images to '
                'one size in the pipeline and remove batch augments, or remove TokenCacheHook'
            )
        return batch, len(forms)


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Leave the random generators as they were, so that a run with a cache equals one without."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002, what the transforms of OpenMMLab draw from
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
