# A linear head on a frozen DINOv3 ViT-S/16 with DAGA, on ImageNet-1k.
_base_ = '../_base_/image-classifier_20e.py'
model = dict(backbone=_base_.vits16, head=dict(num_classes=1000, in_channels=2 * 384))
train_dataloader = dict(dataset=_base_.in1k.train)
val_dataloader = dict(dataset=_base_.in1k.test)
test_dataloader = val_dataloader
