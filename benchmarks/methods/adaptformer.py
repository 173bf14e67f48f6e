# AdaptFormer: a bottleneck beside the MLP of every block.
model = dict(backbone=dict(adapter=dict(type='AdaptFormer', bottleneck_dim=63)))
seeds = 3
