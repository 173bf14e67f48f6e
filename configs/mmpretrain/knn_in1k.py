# Nearest neighbours as DINOv3 finds them (dinov3/eval/knn.py). Nothing is trained: tools/test.py runs it.
_base_ = '../_base_/classification.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='daga_mm.DAGAViT', adapter='daga', out_indices=(-1,), out_type='cls_avg', **_base_.trunk.backbone
    ),
)
model_wrapper_cfg = dict(type='daga_mm.Replica')  # several processes with a frozen trunk, which DDP refuses

sampler = dict(type='DefaultSampler', shuffle=False)
test_dataloader = dict(
    sampler=sampler, dataset=dict(pipeline=_base_.test_pipeline, **_base_.in1k.test), **_base_.loading
)
test_evaluator = []  # the loop measures by itself
test_cfg = dict(
    type='daga_mm.KNNLoop',
    num_classes=1000,
    train_dataloader=dict(
        sampler=sampler, dataset=dict(pipeline=_base_.test_pipeline, **_base_.in1k.train), **_base_.loading
    ),
)
