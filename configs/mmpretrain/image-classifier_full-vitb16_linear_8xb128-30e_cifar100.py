_base_ = './image-classifier_full-vitb16_linear_8xb128-30e_cifar10.py'
model = dict(head=dict(num_classes=100))
train_dataloader = dict(dataset=_base_.cifar100.train)
val_dataloader = dict(dataset=_base_.cifar100.test)
test_dataloader = val_dataloader
