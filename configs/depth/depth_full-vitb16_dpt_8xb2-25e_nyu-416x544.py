# The layer decay of arXiv:2205.13543 for depth, by size: S and B, and from L on.
_base_ = './depth_daga-vitb16_dpt_8xb2-25e_nyu-416x544.py'
model = dict(backbone=dict(adapter=None, frozen=False))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85 if _base_.trunk.embed_dims > 768 else 0.9))
