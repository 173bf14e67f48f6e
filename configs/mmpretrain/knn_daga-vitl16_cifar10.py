_base_ = './knn_daga-vits16_cifar10.py'
model = dict(backbone=_base_.vitl16)
