"""Wherever mmengine loads a checkpoint, `daga_mm.io` reads it: files and URLs, without running what may be in them."""

import os
from typing import Any

import mmengine.runner.checkpoint
from mmengine.runner import CheckpointLoader

from ..io import load_checkpoint_file, local_file


def install_loaders() -> None:
    """Let mmengine (``load_from``, ``resume``, ``init_cfg``, the inferencers) load files and URLs as we do.

    Upstream's own loaders trust whoever made the file: torch's for URLs unpickles anything, and where
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is set, that for files does too. Calling it again changes nothing.
    """
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)
    mmengine.runner.checkpoint.load_from_http = load_from_http  # by which model zoos' names are fetched


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """What mmengine calls for a checkpoint in a file; errors as for `load_checkpoint_file`."""
    path = os.path.expanduser(filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no checkpoint {path}')
    # Not mapped: a run that goes on from a file may replace it.
    checkpoint = load_checkpoint_file(path, map_location, mmap=False)
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
        # Runner.resume would execute this text as a config. No release of mmengine writes it: it has 'cfg'.
        checkpoint['meta'].pop('config', None)
    return checkpoint


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """What mmengine calls for a URL; errors as for `load_checkpoint_file`, and OSError where it cannot be fetched."""
    return load_from_local(str(local_file(filename)), map_location)
