# BitFit: the biases of every block.
model = dict(backbone=dict(adapter=dict(type='BitFit')))
