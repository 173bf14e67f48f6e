_base_ = './linear_daga-vits16_cifar100.py'
model = dict(backbone=_base_.vitb16)
