# The same on CIFAR-10: its usual augmentation, at its own size, before the images are enlarged; a higher rate.
_base_ = './image-classifier_daga-vitb16_linear_8xb128-30e_in1k.py'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=224, **_base_.bicubic),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=224, **_base_.bicubic),
    dict(type='PackInputs'),
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **_base_.cifar10.train))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **_base_.cifar10.test))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.5))
