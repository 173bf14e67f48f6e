_base_ = './depth_daga-vitb16_linear_8xb2-38400iters_nyu-416x544.py'
model = dict(backbone=dict(adapter='lora'))
