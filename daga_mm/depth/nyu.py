"""mmseg's NYUDataset with an error for an empty folder."""

from mmseg.datasets import NYUDataset as MMSegNYUDataset

from ..registry import DATASETS


@DATASETS.register_module()
class NYUDataset(MMSegNYUDataset):
    """Pairs ``images/SPLIT/NAME.jpg`` and ``annotations/SPLIT/NAME.png``, depth as 16-bit millimetres, 0: no reading.

    Also for other RGB-D data: upstream's class refuses file names without a number, and training on an empty folder
    would wait forever.

    Raises:
        FileNotFoundError: There is no image with ``img_suffix`` in the folder.
    """

    def load_data_list(self) -> list[dict]:
        pairs = super().load_data_list()
        if not pairs:
            wanted = f'{self.data_prefix["img_path"]}/*{self.img_suffix}'
            raise FileNotFoundError(f'no {wanted}: write them with tools/dataset_converters/nyu.py, or set img_suffix')
        return pairs

    def _get_category_id_from_filename(self, image_fname: str) -> int:
        if not any(map(str.isdigit, image_fname)):
            return -1  # upstream's "no known kind of room"
        return super()._get_category_id_from_filename(image_fname)
