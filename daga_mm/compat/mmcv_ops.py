"""Answers for ``mmcv._ext`` where mmcv came without its compiled operators.

mmcv-lite ships every Python file of ``mmcv.ops`` but not the extension module that they load. A finder at the
end of ``sys.meta_path`` supplies one: the file ``operators/extension.py``, loaded under the extension's name.
It gets a real ``__spec__``, because mmengine asks ``pkgutil.find_loader('mmcv._ext')`` for it.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Literal

EXTENSION = 'mmcv._ext'
STAND_IN = Path(__file__).with_name('operators') / 'extension.py'


class ExtensionFinder(MetaPathFinder):
    """Finds the stand-in for mmcv's extension module, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(EXTENSION, STAND_IN) if fullname == EXTENSION else None


_FINDER = ExtensionFinder()


def mmcv_kind() -> Literal['compiled', 'lite', 'absent']:
    """Tell which mmcv is installed, without importing it.

    Returns:
        'compiled': ``mmcv._ext`` is there. 'lite': mmcv is there, its compiled operators are not (mmcv-lite,
        or mmcv installed with ``MMCV_WITH_OPS=0``). 'absent': no mmcv.
    """
    mmcv = importlib.util.find_spec('mmcv')
    if mmcv is None:
        return 'absent'
    found = PathFinder.find_spec(EXTENSION, mmcv.submodule_search_locations)
    return 'lite' if found is None else 'compiled'


def install_operators() -> None:
    """Answer for ``mmcv._ext`` from now on, unless mmcv has compiled operators of its own.

    Calling it again changes nothing.
    """
    if _FINDER not in sys.meta_path and mmcv_kind() == 'lite':
        sys.meta_path.append(_FINDER)
