_base_ = './image-classifier_daga-vitb16_linear_8xb128-20e_cifar100.py'
model = dict(backbone=dict(daga_layers=()))
