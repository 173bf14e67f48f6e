_base_ = './upernet_daga-vitl16_vitadapter_8xb2-160k_ade20k-512x512.py'
model = dict(backbone=dict(daga_layers=(), frozen=False))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.95))
