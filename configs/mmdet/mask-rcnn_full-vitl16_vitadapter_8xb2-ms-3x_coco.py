_base_ = './mask-rcnn_daga-vitl16_vitadapter_8xb2-ms-3x_coco.py'
model = dict(
    backbone=dict(arch=dict(_delete_=True, name='dinov3_vitl16', drop_path_rate=0.4), daga_layers=(), frozen=False)
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
