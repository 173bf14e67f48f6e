_base_ = './linear_daga-vits16_cifar10.py'
model = dict(backbone=_base_.vitb16)
