_base_ = '../_base_/logreg.py'
model = dict(backbone=_base_.vits16)
test_dataloader = dict(dataset=_base_.in1k.test)
test_cfg = dict(num_classes=1000, train_dataloader=dict(dataset=_base_.in1k.train))
