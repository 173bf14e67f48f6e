# What every config of daga_mm shares, beside upstream's default_runtime.

# mmcv's operators where mmcv has none, and safe resume: with our tools, with mim and with upstream's own.
custom_imports = dict(imports=['daga_mm.compat'], allow_failed_imports=False)
# The Runner that checks weights, data and settings; upstream's scripts build it too, except mmseg's tools/test.py.
runner_type = 'daga_mm.Runner'
custom_hooks = [
    dict(type='daga_mm.ProvenanceHook'),
    dict(type='daga_mm.FiniteLossHook', patience=5),
    dict(type='daga_mm.ExactResumeHook'),
]
