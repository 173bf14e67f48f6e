_base_ = '../_base_/knn.py'
model = dict(backbone=_base_.vits16)
test_dataloader = dict(dataset=_base_.cifar10.test)
test_cfg = dict(num_classes=10, train_dataloader=dict(dataset=_base_.cifar10.train))
