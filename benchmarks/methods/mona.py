# Mona: a bottleneck with depth-wise convolutions after attention and MLP of every block.
model = dict(backbone=dict(adapter=dict(type='Mona', bottleneck_dim=25)))
