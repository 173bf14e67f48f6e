# The Runner and the hooks of every config of daga_mm.

# The Runner that checks weights, data and settings; upstream's scripts build it too, except mmseg's tools/test.py.
runner_type = 'daga_mm.Runner'
custom_hooks = [
    dict(type='daga_mm.ProvenanceHook'),
    dict(type='daga_mm.FiniteLossHook', patience=5),
    dict(type='daga_mm.ExactResumeHook'),
]
