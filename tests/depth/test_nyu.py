import pytest

from daga_mm.depth import NYUDataset
from demo.scenes import write_nyu

PREFIX = dict(img_path='images/train', depth_map_path='annotations/train')


def test_pairs_of_any_name(tmp_path):
    root = write_nyu(tmp_path / 'nyu', 2, 1, seed=1, size=(48, 36))
    for folder, suffix in (('images', 'jpg'), ('annotations', 'png')):
        (root / folder / f'train/synthetic_00002.{suffix}').rename(root / folder / f'train/kitchen.{suffix}')
    pairs = NYUDataset(data_root=str(root), data_prefix=PREFIX, lazy_init=True).load_data_list()
    assert [pair['img_path'].removeprefix(str(root)) for pair in pairs] == [
        '/images/train/kitchen.jpg', '/images/train/synthetic_00001.jpg'
    ]  # fmt: skip
    assert pairs[0]['depth_map_path'] == f'{root}/annotations/train/kitchen.png'


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / 'images/train').mkdir(parents=True)
    (tmp_path / 'images/train/a_1.png').touch()
    with pytest.raises(FileNotFoundError, match=r'no .*/images/train/\*\.jpg: .*tools/dataset_converters/nyu.py'):
        NYUDataset(data_root=str(tmp_path), data_prefix=PREFIX)
