_base_ = './knn_daga-vits16_cifar100.py'
model = dict(backbone=_base_.vitb16)
