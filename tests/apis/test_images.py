"""What counts as images."""

import numpy as np
import pytest
from PIL import Image

from daga_mm.apis.images import as_list, as_source, find_images, is_one, write_image


def test_a_folder_is_its_images_by_name(pictures):
    assert find_images(pictures) == [str(pictures / 'a.png'), str(pictures / 'b.jpg')]
    assert as_list([pictures, pictures / 'a.png']) == [str(pictures / name) for name in ('a.png', 'b.jpg', 'a.png')]


def test_one_image_is_told_from_several(pictures):
    array = np.zeros((4, 5, 3), np.uint8)
    assert all(is_one(one) for one in (array, Image.fromarray(array), pictures / 'a.png', str(pictures / 'a.png')))
    assert not any(is_one(several) for several in ([array], (array,), pictures, str(pictures)))


def test_arrays_and_pil_images_are_rgb_and_become_bgr():
    array = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    for image in (array, Image.fromarray(array)):
        assert np.array_equal(as_source(image), array[..., ::-1])


def test_pil_images_are_turned_upright_as_files_are(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / 'a.png', exif=exif)
    assert as_source(Image.open(tmp_path / 'a.png')).shape == (6, 4, 3)


@pytest.mark.parametrize(
    ('image', 'error', 'message'),
    [
        ('nowhere.png', FileNotFoundError, 'no image at nowhere.png; folders are searched for .bmp'),
        (__file__, ValueError, r'test_images\.py is not a supported image, expected one of \.bmp'),
        ([], ValueError, 'found an empty list'),
        (3, TypeError, 'found an image of type int, expected a path, an array'),
        (np.zeros((4, 5), np.uint8), ValueError, r'shape \(4, 5\) and type uint8, expected \(H, W, 3\) of uint8'),
        (np.zeros((4, 5, 3), np.float32), ValueError, 'type float32, expected'),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r'shape \(0, 5, 3\)'),
    ],
    ids=str,
)
def test_what_is_no_image_is_named(image, error, message):
    with pytest.raises(error, match=message):
        [as_source(one) for one in as_list(image)]


def test_pictures_are_written_whole_or_not_at_all(tmp_path):
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    write_image(tmp_path / 'new/a.png', pixels)
    assert np.array_equal(Image.open(tmp_path / 'new/a.png'), pixels)
    with pytest.raises(ValueError, match=r'a\.txt has no suffix of an image format, expected \.png'):
        write_image(tmp_path / 'a.txt', pixels)
    assert not (tmp_path / 'a.txt').exists()
