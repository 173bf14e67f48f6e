"""Run a script with ``daga_mm.compat`` installed before its first line.

``python -m daga_mm.compat SCRIPT ARGS...`` is for scripts that import mmcv's operators before they read a
config, such as mmdet's own ``tools/test.py``: the ``custom_imports`` of a config come too late for them.
"""

import runpy
import sys
from pathlib import Path

if sys.argv[1:] in ([], ['-h'], ['--help']):
    print(__doc__)
    sys.exit(0 if sys.argv[1:] else 2)
del sys.argv[0]
if not sys.flags.safe_path:
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)  # as `python SCRIPT` does, so that it finds its neighbours
runpy.run_path(sys.argv[0], run_name='__main__')
