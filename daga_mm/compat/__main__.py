"""Run a script with ``daga_mm.compat`` installed before its first line.

``python -m daga_mm.compat SCRIPT ARGS...`` is for scripts that import mmcv's operators before they read a
config, such as mmdet's own ``tools/test.py``: the ``custom_imports`` of a config come too late for them.
"""

import runpy
import sys

if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
    sys.exit(__doc__)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')
