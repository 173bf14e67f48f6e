_base_ = '../_base_/linear.py'
model = dict(backbone=_base_.vits16, num_classes=1000)
train_dataloader = dict(dataset=_base_.in1k.train)
val_dataloader = dict(dataset=_base_.in1k.test)
test_dataloader = val_dataloader
