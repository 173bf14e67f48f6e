# A gate from the attention of each head after the last six blocks: no graph in the first six, which can be cached.
model = dict(backbone=dict(adapter=dict(type='DAGA', layers=(-6, -5, -4, -3, -2, -1), gate='heads', bottleneck_dim=120)))
seeds = 3
