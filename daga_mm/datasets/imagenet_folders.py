"""ImageNet and its robustness sets: folders of images named by WordNet ids, whichever of the classes are there."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from mmengine.dataset import BaseDataset

from ..registry import DATASETS

EXTENSIONS = ('.jpeg', '.jpg', '.png')


@cache
def wnids(subset: Literal['imagenet', 'imagenet_a', 'imagenet_r'] = 'imagenet') -> tuple[str, ...]:
    """The WordNet ids of ImageNet's 1000 classes, or of the 200 in ImageNet-A or -R, in the order of the classes."""
    return tuple((files('timm.data') / f'_info/{subset}_synsets.txt').read_text().split())


@DATASETS.register_module()
class ImageNetFolders(BaseDataset):
    """Images in ``data_root/<wnid>/``, labelled 0 to 999 as in ImageNet's own order of classes.

    mmpretrain's ImageNet numbers the folders that it finds, and wants all thousand of them.

    Args:
        data_root: The folder of class folders.
        **kwargs: ``pipeline`` and other arguments of `mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: A folder in it is none of the 1000 classes, or there are no images.
    """

    METAINFO = {'classes': wnids()}

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        super().__init__(ann_file='', data_root=str(data_root), **kwargs)

    def load_data_list(self) -> list[dict]:
        """``img_path`` and ``gt_label`` of every image, sorted by path."""
        root = Path(self.data_root)
        if not root.is_dir():
            raise FileNotFoundError(f'no folder {root}')
        labels = {wnid: label for label, wnid in enumerate(wnids())}
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        unknown = [path.name for path in folders if path.name not in labels]
        if unknown:
            raise ValueError(f'{root} has folders that are no class of ImageNet: {", ".join(unknown[:5])}')
        images = [
            {'img_path': str(path), 'gt_label': labels[folder.name]}
            for folder in folders
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in EXTENSIONS
        ]
        if not images:
            raise ValueError(f'no images in {root}/<wnid>/')
        return images
