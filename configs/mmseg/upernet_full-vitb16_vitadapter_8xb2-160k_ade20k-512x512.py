_base_ = './upernet_daga-vitb16_vitadapter_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch=dict(_delete_=True, name='dinov3_vitb16', drop_path_rate=0.3), daga_layers=(), frozen=False)
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.95))
