import cv2
import numpy as np
import pytest

from daga_mm.depth import draw_depth, write_depth_png, write_point_cloud


@pytest.fixture
def room():
    """An image (48, 64, 3) and its depth: left half near, right half far, a hole."""
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    depth = np.full((48, 64), 2.0, np.float32)
    depth[:, 32:] = 6.0
    depth[10:20, 40:50] = 0
    return image, depth


def parts(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the image is, and where the depth is, ten times as large with a gap of 10 pixels."""
    return picture[10:-10, :640], picture[10:-10, 650:1290]


def test_a_picture_shows_the_image_and_its_depth(room):
    image, depth = room
    picture = draw_depth(image, depth)
    assert picture.dtype == np.uint8 and picture.shape[0] == 500
    shown, colours = parts(picture)
    assert np.array_equal(shown, image.repeat(10, axis=0).repeat(10, axis=1))
    near, far, none = colours[240, 100], colours[240, 500], colours[150, 450]
    expected = np.where((depth == 2)[..., None], near, np.where((depth == 6)[..., None], far, none))
    assert np.array_equal(colours, expected.repeat(10, axis=0).repeat(10, axis=1))
    assert none.tolist() == [153, 153, 153] and near[0] > 2 * near[2] and far[0] < near[0]  # grey, red, dark
    assert picture[:, 1300:].std() > 10  # the bar


def test_the_range_can_be_given_and_pictures_of_one_range_compare(room):
    image, depth = room
    _, near = parts(draw_depth(image, np.full_like(depth, 2.0), 0, 10))
    _, both = parts(draw_depth(image, depth, 0, 10))
    assert np.array_equal(near[:, :320], both[:, :320])
    assert not np.array_equal(near[:, 320:], both[:, 320:])


@pytest.mark.parametrize('value', [0.0, 3.0, float('nan'), float('inf')])
def test_depth_without_any_contrast_or_reading_is_drawn_too(room, value):
    image, depth = room
    _, colours = parts(draw_depth(image, np.full_like(depth, value)))
    assert len({tuple(colour) for colour in colours.reshape(-1, 3)}) == 1


def test_sixteen_bit_files(tmp_path, room):
    path = tmp_path / 'depth.png'
    write_depth_png(path, np.array([[0.0, 1.2346, np.nan], [np.inf, 65.535, 0.0004]]))
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16 and found.tolist() == [[0, 1235, 0], [0, 65535, 0]]
    write_depth_png(path, np.array([[80.0]]), scale=256)
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tolist() == [[20480]]
    for wrong in (np.array([[66.0]]), np.array([[-1.0]])):
        with pytest.raises(ValueError, match='does not fit into 16 bits'):
            write_depth_png(path, wrong)
    with pytest.raises(ValueError, match=r'\(height, width\)'):
        write_depth_png(path, np.ones((1, 2, 3)))
    assert [p.name for p in tmp_path.iterdir()] == ['depth.png']


def read_ply(path) -> np.ndarray:
    header, _, body = path.read_bytes().partition(b'end_header\n')
    lines = header.decode().splitlines()
    assert lines[:2] == ['ply', 'format binary_little_endian 1.0']
    kinds = {'float': '<f4', 'uchar': 'u1'}
    fields = [(line.split()[2], kinds[line.split()[1]]) for line in lines if line.startswith('property')]
    points = np.frombuffer(body, fields)
    assert f'element vertex {len(points)}' in lines
    return points


def test_a_point_cloud_projects_back_onto_the_image(tmp_path, room):
    image, depth = room
    write_point_cloud(tmp_path / 'room.ply', image, depth, focal_length=50.0)
    points = read_ply(tmp_path / 'room.ply')
    assert len(points) == np.count_nonzero(depth)
    columns = points['x'] / points['z'] * 50 + 31.5
    rows = points['y'] / points['z'] * 50 + 23.5
    u, v = columns.round().astype(int), rows.round().astype(int)
    np.testing.assert_allclose(columns, u, atol=1e-3)
    assert np.array_equal(depth[v, u], points['z'])
    assert np.array_equal(image[v, u], np.stack([points[c] for c in ('red', 'green', 'blue')], axis=1))
    assert len(set(zip(u.tolist(), v.tolist(), strict=True))) == len(points)


def test_what_does_not_belong_together_is_refused(tmp_path, room):
    image, depth = room
    with pytest.raises(ValueError, match=r'depth has shape \(48, 63\), expected .*\(48, 64\)'):
        draw_depth(image, depth[:, 1:])
    with pytest.raises(ValueError, match='type float64, expected .* of uint8'):
        draw_depth(image / 255, depth)
    with pytest.raises(ValueError, match='focal_length'):
        write_point_cloud(tmp_path / 'room.ply', image, depth, 0)
    assert not any(tmp_path.iterdir())
