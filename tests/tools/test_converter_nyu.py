"""NYU's official files and BTS's folders become what the depth configs read."""

import sys
from functools import partial

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope

from ..depth.conftest import read_config
from .conftest import call as run_main
from .conftest import load_converter

nyu = load_converter('nyu')
call = partial(run_main, nyu)


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


def depth_of(path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def rgb(index: int) -> np.ndarray:
    """A smooth image (480, 640, 3), so that JPEG keeps it; every channel and index is another."""
    rows, columns = np.mgrid[0:480, 0:640]
    return np.stack([rows // 2, columns // 3, np.full_like(rows, 40 * index)], axis=2).astype(np.uint8)


def metres(index: int) -> np.ndarray:
    """Depth (480, 640) with a gradient, and a corner without reading."""
    depth = np.linspace(0.7, 9.9, 480 * 640, dtype=np.float32).reshape(480, 640) - index / 100
    depth[:20, :30] = 0
    return depth


def read_pairs(root, monkeypatch) -> dict[str, list[dict]]:
    """What the config's data sets find in a folder."""
    monkeypatch.setenv('NYU_ROOT', str(root))
    config = read_config('linear')
    init_default_scope('mmseg')
    train, test = (DATASETS.build(loader.dataset) for loader in (config.train_dataloader, config.test_dataloader))
    assert train[0]['inputs'].shape == (3, 416, 544)
    return {'train': train.load_data_list(), 'test': list(test)}


# -- the labelled set ----------------------------------------------------------------------------------------------


@pytest.fixture
def official(tmp_path):
    """Both official files with four images, as MATLAB writes them: columns first; numbers from 1 on."""
    h5py = pytest.importorskip('h5py', reason='MATLAB 7.3 files are read with h5py')
    import scipy.io

    mat, splits = tmp_path / 'nyu_depth_v2_labeled.mat', tmp_path / 'splits.mat'
    with h5py.File(mat, 'w', userblock_size=512) as file:
        file['images'] = np.stack([rgb(i).transpose(2, 1, 0) for i in range(4)])
        file['depths'] = np.stack([metres(i).clip(min=0.5).T for i in range(4)])
        file['rawDepths'] = np.stack([metres(i).T for i in range(4)])
    header = b'MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Wed Jun 06 03:05:52 2012 HDF5 schema 1.00 .'
    with mat.open('r+b') as file:
        file.write(header.ljust(116) + bytes(8) + b'\x00\x02IM')
    scipy.io.savemat(
        splits, {'trainNdxs': np.array([[3], [4]], np.uint16), 'testNdxs': np.array([[1], [2]], np.uint16)}
    )
    return mat, splits


def test_the_labelled_set(official, tmp_path, monkeypatch):
    out = tmp_path / 'nyu'
    assert call('labeled', *official, out) is None
    names = {'train': ['nyu_0003', 'nyu_0004'], 'test': ['nyu_0001', 'nyu_0002']}
    pairs = {f'{kind}/{split}/{name}.{suffix}' for kind, suffix in (('images', 'jpg'), ('annotations', 'png'))
             for split, found in names.items() for name in found}  # fmt: skip
    assert files(out) == pairs | {'made_by.json'}
    image = cv2.imread(str(out / 'images/train/nyu_0004.jpg'))[..., ::-1]
    assert np.abs(image.astype(int) - rgb(3)).max() < 12
    depth = depth_of(out / 'annotations/train/nyu_0004.png')
    assert depth.dtype == np.uint16
    np.testing.assert_allclose(depth / 1000, metres(3).clip(min=0.5), atol=5.1e-4)

    found = read_pairs(out, monkeypatch)
    assert [pair['img_path'].rsplit('/')[-1] for pair in found['train']] == ['nyu_0003.jpg', 'nyu_0004.jpg']
    truth = found['test'][1]['data_samples'].gt_depth_map.data[0].numpy()
    np.testing.assert_allclose(truth, metres(1).clip(min=0.5), atol=5.1e-4)


def test_the_sensors_readings(official, tmp_path):
    out = tmp_path / 'nyu'
    assert call('labeled', *official, out, '--raw-depths') is None
    depth = depth_of(out / 'annotations/test/nyu_0001.png')
    assert (depth[:20, :30] == 0).all() and (depth[20:, 30:] > 600).all()
    assert 'was made otherwise' in call('labeled', *official, out)


def test_broken_off_it_goes_on(official, tmp_path, monkeypatch, capsys):
    out, encode = tmp_path / 'nyu', nyu.encode
    calls = []

    def interrupted(codec, pixels):
        calls.append(codec)
        if len(calls) == 4:  # the depth of the second pair
            raise KeyboardInterrupt
        return encode(codec, pixels)

    monkeypatch.setattr(nyu, 'encode', interrupted)
    assert call('labeled', *official, out) == f'\nstopped; the same command goes on with {out}'
    assert files(out) == {'made_by.json', 'images/train/nyu_0003.jpg', 'annotations/train/nyu_0003.png'}
    before = (out / 'images/train/nyu_0003.jpg').stat().st_mtime_ns
    monkeypatch.setattr(nyu, 'encode', encode)
    assert call('labeled', *official, out) is None
    assert len(files(out)) == 9 and (out / 'images/train/nyu_0003.jpg').stat().st_mtime_ns == before
    assert f'4 pairs in {out}' in capsys.readouterr().out


def test_what_is_wrong_with_official_files(official, tmp_path):
    import h5py
    import scipy.io

    mat, splits = official
    out = tmp_path / 'nyu'
    assert call('labeled', tmp_path / 'no.mat', splits, out) == f'no file {tmp_path / "no.mat"}'
    assert f'{splits} is no HDF5 file' in call('labeled', splits, splits, out)
    assert 'is not the official splits.mat with trainNdxs and testNdxs' in call('labeled', mat, mat, out)
    scipy.io.savemat(splits, {'trainNdxs': [[5]], 'testNdxs': [[1]]})
    assert 'names image 5' in call('labeled', mat, splits, out)
    scipy.io.savemat(splits, {'trainNdxs': [[1]], 'testNdxs': [[2]]})
    with h5py.File(mat, 'r+') as file:
        file['depths'][1, 0, 0] = np.nan
    assert 'depths 2: depth from nan' in call('labeled', mat, splits, out)
    with h5py.File(mat, 'r+') as file:
        del file['depths']
        assert 'lacks depths; it holds images, rawDepths' in call('labeled', mat, splits, out)
        file['depths'] = np.ones((4, 480, 640), np.float32)
    assert 'are not those of NYU' in call('labeled', mat, splits, out)
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'mine.txt').touch()
    with h5py.File(mat, 'r+') as file:
        del file['depths']
        file['depths'] = np.ones((4, 640, 480), np.float32)
    assert call('labeled', mat, splits, other) == f'{other} was not made by this tool: name another folder'


def test_without_h5py_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    message = call('labeled', tmp_path / 'a.mat', tmp_path / 'b.mat', tmp_path / 'nyu')
    assert message == 'MATLAB files are read with h5py and scipy: pip install h5py'


# -- the folders of BTS --------------------------------------------------------------------------------------------

TRAIN = ['kitchen_0028b/{}_00045', 'office_0001/{}_00000']
TEST = ['bathroom/{}_00045']


@pytest.fixture
def folders(tmp_path):
    """BTS's folders with two pairs and one, and its lists beside them."""
    root = tmp_path / 'nyu_depth_v2'
    for folder, stems in (('sync', TRAIN), ('official_splits/test', TEST)):
        for index, stem in enumerate(stems):
            image, depth = (root / folder / stem.format(kind) for kind in ('rgb', 'sync_depth'))
            image.parent.mkdir(parents=True)
            cv2.imwrite(f'{image}.jpg', rgb(index)[..., ::-1])
            cv2.imwrite(f'{depth}.png', (metres(index) * 1000).astype(np.uint16))
    for split, start, stems in (('train', '/', TRAIN), ('test', '', TEST)):
        lines = [f'{start}{s.format("rgb")}.jpg {start}{s.format("sync_depth")}.png 518.8579\n' for s in stems]
        (root / f'nyudepthv2_{split}_files_with_gt.txt').write_text(''.join(lines))
    return root


def test_the_folders_of_bts(folders, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'nyu'
    assert call('bts', folders, out) is None
    assert f'3 pairs in {out}' in capsys.readouterr().out
    expected = {'images/train/kitchen_0028b_00045.jpg': 'sync/kitchen_0028b/rgb_00045.jpg',
                'annotations/train/kitchen_0028b_00045.png': 'sync/kitchen_0028b/sync_depth_00045.png',
                'images/train/office_0001_00000.jpg': 'sync/office_0001/rgb_00000.jpg',
                'annotations/train/office_0001_00000.png': 'sync/office_0001/sync_depth_00000.png',
                'images/test/bathroom_00045.jpg': 'official_splits/test/bathroom/rgb_00045.jpg',
                'annotations/test/bathroom_00045.png': 'official_splits/test/bathroom/sync_depth_00045.png',
                }  # fmt: skip
    assert files(out) == {*expected, 'made_by.json'}
    for made, source in expected.items():
        assert (out / made).read_bytes() == (folders / source).read_bytes()
    found = read_pairs(out, monkeypatch)
    rooms = [pair['category_id'] for pair in found['train']]
    assert rooms == [6, 25]  # mmseg knows kitchens and offices by their names
    truth = found['test'][0]['data_samples'].gt_depth_map.data[0].numpy()
    np.testing.assert_allclose(truth, metres(0), atol=1.1e-3)

    (folders / 'sync/office_0001/rgb_00000.jpg').unlink()
    assert call('bts', folders, out) is None, 'what is there is not read again'


def test_lists_may_be_elsewhere(folders, tmp_path):
    lists = tmp_path / 'train_test_inputs'
    lists.mkdir()
    for path in folders.glob('*.txt'):
        path.rename(lists / path.name)
    assert 'no list' in call('bts', folders, tmp_path / 'nyu')
    assert call('bts', folders, tmp_path / 'nyu', '--lists', lists) is None
    assert len(files(tmp_path / 'nyu')) == 7


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda image, depth: image.unlink(), 'rgb_00000.jpg, which the list names: ROOT holds sync/'),
        (lambda image, depth: image.write_bytes(b'damaged'), 'rgb_00000.jpg is no image, or a damaged one'),
        (lambda image, depth: depth.write_bytes(b''), 'sync_depth_00000.png is no image, or a damaged one'),
        (
            lambda image, depth: cv2.imwrite(str(depth), np.zeros((480, 640), np.uint8)),
            r'sync_depth_00000.png has uint8 (480, 640), and should have uint16 (480, 640), the size of',
        ),
        (
            lambda image, depth: cv2.imwrite(str(depth), np.zeros((240, 320), np.uint16)),
            r'sync_depth_00000.png has uint16 (240, 320), and should have uint16 (480, 640), the size of',
        ),
    ],
    ids=['absent', 'damaged image', 'empty depth', 'eight bits', 'another size'],
)
def test_a_bad_pair_stops_it_and_is_named(folders, tmp_path, change, message):
    change(folders / 'sync/office_0001/rgb_00000.jpg', folders / 'sync/office_0001/sync_depth_00000.png')
    out = tmp_path / 'nyu'
    assert message in call('bts', folders, out)
    assert not [name for name in files(out) if 'office' in name]
