_base_ = './fcn_daga-vitb16_linear_8xb2-40k_ade20k-512x512.py'
model = dict(backbone=dict(daga_layers=(), frozen=False))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.95))
