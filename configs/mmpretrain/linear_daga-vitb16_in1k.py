_base_ = './linear_daga-vits16_in1k.py'
model = dict(backbone=_base_.vitb16)
