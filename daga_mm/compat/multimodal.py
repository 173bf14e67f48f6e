"""Keeps mmpretrain's image models where transformers is newer than its multimodal ones.

mmpretrain 1.2.0 imports its multimodal models wherever it finds transformers, by names that transformers no longer has
(from 4.57 at the latest): then nothing of mmpretrain can be imported. peft, and much else, brings a new transformers.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

SWITCH = 'mmpretrain.utils.dependency'


class SwitchFinder(MetaPathFinder):
    """Finds the module with mmpretrain's ``WITH_MULTIMODAL``, to set it to what is true."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == SWITCH else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def switch_off(module: ModuleType) -> None:
            execute(module)
            module.WITH_MULTIMODAL = False  # type: ignore[attr-defined]

        spec.loader.exec_module = switch_off  # type: ignore[method-assign]
        return spec


_FINDER = SwitchFinder()


def transformers_is_too_new() -> bool:
    """Whether transformers is installed, but without a name that mmpretrain imports from it. It is not imported."""
    transformers = find_spec('transformers')
    if transformers is None or transformers.origin is None:
        return False
    module = Path(transformers.origin).with_name('modeling_utils.py')
    return module.is_file() and 'apply_chunking_to_forward' not in module.read_text()


def spare_multimodal() -> None:
    """Have mmpretrain leave its multimodal models out from now on, if they can't be imported.

    Calling it again changes nothing.
    """
    if _FINDER not in sys.meta_path and transformers_is_too_new():
        sys.meta_path.insert(0, _FINDER)
