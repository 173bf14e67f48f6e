_base_ = './fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch=dict(_delete_=True, name='dinov3_vits16', drop_path_rate=0.2), daga_layers=(), frozen=False)
)
optim_wrapper = dict(optimizer=dict(lr=6e-5, weight_decay=0.01), paramwise_cfg=dict(layer_decay_rate=0.95))
