_base_ = './knn_in1k.py'
test_dataloader = dict(dataset=_base_.cifar100.test)
test_cfg = dict(num_classes=100, train_dataloader=dict(dataset=_base_.cifar100.train))
