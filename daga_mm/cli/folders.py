"""Folders that a tool makes. This module imports the standard library only."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` at the end; what an interrupted run left is removed.

    Raises:
        FileExistsError: ``out`` exists.
    """
    if out.exists():
        raise FileExistsError(f'{out} exists: name another folder, or move it away')
    part = out.with_name(f'{out.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    part.rename(out)


def claim(out: Path, record: Mapping[str, Any]) -> None:
    """Note in ``out`` how it is made, so that a later run goes on with it and nothing else is mixed in.

    Args:
        out: The folder; it is made if it does not exist.
        record: What all of its files have in common, as JSON takes it.

    Raises:
        FileExistsError: The folder was made in another way.
    """
    path = out / 'made_by.json'
    if path.is_file():
        earlier = json.loads(path.read_text())
        if earlier != record:
            changes = ', '.join(f'{key} {earlier.get(key)}' for key in record if earlier.get(key) != record[key])
            raise FileExistsError(f'{out} was made otherwise ({changes}): name another folder')
    elif out.exists() and any(out.iterdir()):
        raise FileExistsError(f'{out} was not made by this tool: name another folder')
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(record, indent=1).encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears when it is complete, one of many: it is not synchronised with the disk by itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    part.write_bytes(data)
    part.replace(path)
