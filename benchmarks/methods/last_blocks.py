# The last two blocks are trained.
model = dict(backbone=dict(adapter=dict(type='LastBlocks', count=2)))
