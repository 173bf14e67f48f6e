_base_ = '../_base_/linear.py'
model = dict(backbone=_base_.vits16, num_classes=100)
train_dataloader = dict(dataset=_base_.cifar100.train)
val_dataloader = dict(dataset=_base_.cifar100.test)
test_dataloader = val_dataloader
