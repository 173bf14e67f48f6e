# Penn-Fudan pedestrians: DINO-DETR, with two layers each and a hundred queries, on ViTAdapterNeck.
_base_ = './pennfudan_maskrcnn.py'
benchmark = dict(title='Penn-Fudan, boxes, DINO-DETR', score='coco/bbox_mAP')


def short(model: dict) -> dict:
    """Upstream's model for one class, with few layers."""
    model['bbox_head']['num_classes'] = 1
    for part in ('encoder', 'decoder'):
        model[part]['num_layers'] = 2
        model[part]['layer_cfg']['ffn_cfg']['feedforward_channels'] = 256
    return model


upstream = __import__('mmengine.hub').hub.get_config('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py').model.to_dict()
model = dict(
    short(upstream),
    _delete_=True,
    num_queries=100,
    backbone=_base_.model.backbone,
    neck=[
        dict(_base_.model.neck[0], start_level=1),
        dict(upstream['neck'], in_channels=[_base_.trunk.embed_dims] * 3),
    ],
    test_cfg=dict(max_per_img=100),
)
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
optim_wrapper = dict(clip_grad=dict(max_norm=0.1))
del upstream
