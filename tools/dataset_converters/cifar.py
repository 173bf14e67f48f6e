"""Turn an official CIFAR-10 or CIFAR-100 archive into folders of images: OUT/{train,test}/CLASS/NNNNN.png.

    python tools/dataset_converters/cifar.py cifar-10-binary.tar.gz data/cifar10

The archives are those of https://www.cs.toronto.edu/~kriz/cifar.html, binary or Python version; both hold the same
images. Sorted by name, the folders have CIFAR's own class numbers; NNNNN is an image's place in its split.
"""

import argparse
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.folders import whole_folder
from daga_mm.cli.parser import folder, make_parser
from daga_mm.errors import as_run_error

SIDE = 32
# What the official pickles ask for: the array of the pixels, under the names of the NumPy that wrote it.
GLOBALS = {
    ('numpy.core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
}
Split = tuple[np.ndarray, list[int]]  # pixels (N, 3, 32, 32), labels


class Unpickler(pickle.Unpickler):
    """Reads arrays, containers, numbers and strings.

    Raises:
        pickle.UnpicklingError: The file asks for anything else.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in GLOBALS:
            raise pickle.UnpicklingError(f'the archive asks for {module}.{name}, which no official one does')
        return GLOBALS[module, name]


def unpickle(data: bytes) -> dict[str, Any]:
    return Unpickler(io.BytesIO(data), encoding='latin1').load()  # they were written by Python 2


@dataclass(frozen=True)
class Archive:
    """Where an archive has what, and how to read it."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: str
    read_split: Callable[[bytes], Split]
    read_classes: Callable[[bytes], list[str]]


def binary(label_bytes: int) -> Callable[[bytes], Split]:
    """Records of labels, the last of which counts (CIFAR-100 has a coarse one before it), and 3 × 32 × 32 pixels."""

    def read(data: bytes) -> Split:
        records = np.frombuffer(data, np.uint8).reshape(-1, label_bytes + 3 * SIDE * SIDE)
        return records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE), records[:, label_bytes - 1].tolist()

    return read


def python(labels: str) -> Callable[[bytes], Split]:
    """A dictionary with the rows of pixels under 'data' and the labels under a name of their own."""

    def read(data: bytes) -> Split:
        batch = unpickle(data)
        return batch['data'].reshape(-1, 3, SIDE, SIDE), batch[labels]

    return read


def lines(data: bytes) -> list[str]:
    return data.decode().split()


# By the MD5 on CIFAR's page. The Python versions are pickles, and a pickle is a program: none is read but these. For
# the binary versions the same check finds a download that broke off.
ARCHIVES = {
    'c32a1d4ab5d03f1284b67883e8d87530': Archive(
        'cifar-10-binary.tar.gz',
        train=tuple(f'cifar-10-batches-bin/data_batch_{i}.bin' for i in range(1, 6)),
        test=('cifar-10-batches-bin/test_batch.bin',),
        classes='cifar-10-batches-bin/batches.meta.txt',
        read_split=binary(1),
        read_classes=lines,
    ),
    '03b5dce01913d631647c71ecec9e9cb8': Archive(
        'cifar-100-binary.tar.gz',
        train=('cifar-100-binary/train.bin',),
        test=('cifar-100-binary/test.bin',),
        classes='cifar-100-binary/fine_label_names.txt',
        read_split=binary(2),
        read_classes=lines,
    ),
    'c58f30108f718f92721af3b95e74349a': Archive(
        'cifar-10-python.tar.gz',
        train=tuple(f'cifar-10-batches-py/data_batch_{i}' for i in range(1, 6)),
        test=('cifar-10-batches-py/test_batch',),
        classes='cifar-10-batches-py/batches.meta',
        read_split=python('labels'),
        read_classes=lambda data: unpickle(data)['label_names'],
    ),
    'eb9058c3a382ffc7106e4002c42a8d85': Archive(
        'cifar-100-python.tar.gz',
        train=('cifar-100-python/train',),
        test=('cifar-100-python/test',),
        classes='cifar-100-python/meta',
        read_split=python('fine_labels'),
        read_classes=lambda data: unpickle(data)['fine_label_names'],
    ),
}


def identify(path: Path) -> Archive:
    """Which of the official archives a file is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none of them.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no archive {path}')
    with path.open('rb') as file:
        digest = hashlib.file_digest(file, 'md5').hexdigest()
    if digest not in ARCHIVES:
        names = ', '.join(archive.name for archive in ARCHIVES.values())
        raise ValueError(
            f'{path} has MD5 {digest} and is none of {names}, or only a part of one: '
            'fetch it anew from https://www.cs.toronto.edu/~kriz/cifar.html'
        )
    return ARCHIVES[digest]


def convert(path: Path, out: Path) -> None:
    """Write the folders of an archive. ``out`` appears when it is complete.

    Raises:
        FileNotFoundError, ValueError: See identify.
        FileExistsError: ``out`` exists.
    """
    archive = identify(path)
    with tarfile.open(path) as tar:
        wanted = {archive.classes, *archive.train, *archive.test}
        files = {member.name: tar.extractfile(member).read() for member in tar if member.name in wanted}
    classes = archive.read_classes(files[archive.classes])
    with whole_folder(out) as part:
        for split, members in {'train': archive.train, 'test': archive.test}.items():
            for name in classes:
                (part / split / name).mkdir(parents=True)
            batches = [archive.read_split(files[member]) for member in members]
            print(f'{out / split}:')
            bar = ProgressBar(len(batches))
            start = 0
            for pixels, labels in batches:
                for number, (image, label) in enumerate(zip(pixels, labels, strict=True), start):
                    _, data = cv2.imencode('.png', image[::-1].transpose(1, 2, 0))  # RGB planes to BGR pixels
                    (part / split / classes[label] / f'{number:05d}.png').write_bytes(data.tobytes())
                start += len(labels)
                bar.update()
            print()


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('archive', type=Path, help='one of the official files, as it was downloaded')
    parser.add_argument('out', type=folder, help='the folder to make')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(OSError, ValueError, pickle.UnpicklingError):
        convert(args.archive, args.out)


if __name__ == '__main__':
    main()
