_base_ = './depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py'
model = dict(backbone=_base_.vitb16, decode_head=dict(in_channels=[768]))
