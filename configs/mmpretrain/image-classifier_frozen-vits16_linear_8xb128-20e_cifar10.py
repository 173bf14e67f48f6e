_base_ = './image-classifier_daga-vits16_linear_8xb128-20e_cifar10.py'
model = dict(backbone=dict(daga_layers=()))
