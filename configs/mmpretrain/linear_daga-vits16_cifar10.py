_base_ = '../_base_/linear.py'
model = dict(backbone=_base_.vits16, num_classes=10)
train_dataloader = dict(dataset=_base_.cifar10.train)
val_dataloader = dict(dataset=_base_.cifar10.test)
test_dataloader = val_dataloader
