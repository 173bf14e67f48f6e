_base_ = './mask-rcnn_daga-vits16_simplefpn_8xb8-lsj-100e_coco.py'
model = dict(backbone=dict(daga_layers=(), frozen=False))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
