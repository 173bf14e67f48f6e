# Detection for demo/many_tasks.py: DAGA at the last two of eight blocks; tasks share the others.
_base_ = '../mask_rcnn_scenes.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=16),  # scenes of 144×192 stay as they are, and equal those of the others
    backbone=dict(adapter=dict(layers=(-2, -1), guidance='inline')),
)
