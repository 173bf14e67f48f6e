# The frozen trunk: only neck and head are trained.
model = dict(backbone=dict(adapter=None))
seeds = 3
