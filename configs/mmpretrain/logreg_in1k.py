# Logistic regression as DINOv3 fits it (dinov3/eval/log_regression.py): on images resized to 224, without a margin.
_base_ = './knn_in1k.py'
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=224, edge='short', **_base_.bicubic),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
test_cfg = dict(type='daga_mm.LogisticRegressionLoop', train_dataloader=dict(dataset=dict(pipeline=pipeline)))
