_base_ = './logreg_in1k.py'
test_dataloader = dict(dataset=_base_.cifar10.test)
test_cfg = dict(num_classes=10, train_dataloader=dict(dataset=_base_.cifar10.train))
