# Segmentation for demo/many_tasks.py: DAGA at the last two of eight blocks; tasks share the others.
_base_ = '../upernet_scenes.py'
model = dict(backbone=dict(adapter=dict(layers=(-2, -1), guidance='inline')))
