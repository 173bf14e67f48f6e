# DAGA after every block, with a gate from the attention of each head.
model = dict(backbone=dict(adapter=dict(type='DAGA', layers='all', gate='heads', bottleneck_dim=56)))
seeds = 3
