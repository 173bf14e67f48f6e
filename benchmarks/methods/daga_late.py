# A gate from the attention of each head after the last six blocks: no graph in the first six, which can be cached.
model = dict(backbone=dict(adapter=dict(type='DAGA', layers=tuple(range(-6, 0)), gate='heads', bottleneck_dim=120)))
seeds = 2
datasets = ('camvid_linear', 'nyu_linear')
