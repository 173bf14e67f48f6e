"""Commands as users start them, and what they print and write."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from .conftest import REPOSITORY


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def start(*command, cwd: Path = REPOSITORY, **environment) -> subprocess.Popen:
    """A command of a user, in the repository unless ``cwd`` says otherwise; its output is one text."""
    own = {'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}', 'OMP_NUM_THREADS': '1'}
    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
        env=os.environ | own | {key: str(value) for key, value in environment.items()},
    )  # fmt: skip


def run(*command, cwd: Path = REPOSITORY, **environment) -> str:
    """What a command that succeeds prints."""
    process = start(*command, cwd=cwd, **environment)
    output, _ = process.communicate()
    assert process.returncode == 0, output[-4000:]
    return output


def metrics_of(work_dir: str | Path) -> dict[str, float]:
    """The metrics of the one test, or else of the last validation, that wrote into this folder."""
    (folder,) = (path for path in Path(work_dir).iterdir() if path.is_dir() and path.name[0] == '2')  # by its time
    test = folder / f'{folder.name}.json'
    lines = [test] if test.is_file() else [folder / 'vis_data/scalars.json']
    found = {key: value for path in lines for line in path.open() for key, value in json.loads(line).items()}
    return {key: value for key, value in found.items() if 'time' not in key}
