# DAGA after every block, with one attention encoder for all.
model = dict(backbone=dict(adapter=dict(type='DAGA', layers='all', share_encoder=True, bottleneck_dim=32)))
