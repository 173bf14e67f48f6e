"""Tests of the stand-ins: with a compiled mmcv there are none to be tested."""

from daga_mm.compat import mmcv_kind

collect_ignore_glob = [] if mmcv_kind() == 'lite' else ['test_*.py']
