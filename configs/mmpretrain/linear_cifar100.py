_base_ = './linear_in1k.py'
model = dict(num_classes=100)
train_dataloader = dict(dataset=_base_.cifar100.train)
val_dataloader = dict(dataset=_base_.cifar100.test)
test_dataloader = val_dataloader
