_base_ = './linear_in1k.py'
model = dict(num_classes=10)
train_dataloader = dict(dataset=_base_.cifar10.train)
val_dataloader = dict(dataset=_base_.cifar10.test)
test_dataloader = val_dataloader
