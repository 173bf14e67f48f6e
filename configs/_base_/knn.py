# Nearest neighbours as DINOv3 finds them (dinov3/eval/knn.py). Nothing is trained: tools/test.py runs it.
_base_ = './classification.py'
model = dict(type='ImageClassifier', backbone=dict(type='daga_mm.DAGAViT', out_indices=(-1,), out_type='cls_avg'))
model_wrapper_cfg = dict(type='daga_mm.Replica')  # several processes with a frozen trunk, which DDP refuses

features = dict(
    sampler=dict(type='DefaultSampler', shuffle=False), dataset=dict(pipeline=_base_.test_pipeline), **_base_.loading
)
test_dataloader = features
test_evaluator = []  # the loop measures by itself
test_cfg = dict(type='daga_mm.KNNLoop', train_dataloader=features)
