# What every config of daga_mm shares, beside upstream's default_runtime.
_base_ = './hooks.py'

# mmcv's operators where mmcv has none, and safe resume: with our tools, with mim and with upstream's own.
custom_imports = dict(imports=['daga_mm.compat'], allow_failed_imports=False)
