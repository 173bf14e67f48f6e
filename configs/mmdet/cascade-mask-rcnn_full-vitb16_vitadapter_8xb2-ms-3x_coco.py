_base_ = './cascade-mask-rcnn_daga-vitb16_vitadapter_8xb2-ms-3x_coco.py'
model = dict(
    backbone=dict(arch=dict(_delete_=True, name='dinov3_vitb16', drop_path_rate=0.3), daga_layers=(), frozen=False)
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.6))
