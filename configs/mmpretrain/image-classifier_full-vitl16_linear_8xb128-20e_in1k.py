_base_ = './image-classifier_full-vits16_linear_8xb128-20e_in1k.py'
model = dict(backbone=_base_.vitl16, head=dict(in_channels=2 * 1024))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
