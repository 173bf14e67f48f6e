# Penn-Fudan pedestrians: Mask2Former, with narrow and short heads, on ViTAdapterNeck.
_base_ = './pennfudan_maskrcnn.py'
benchmark = dict(title='Penn-Fudan, Mask2Former')


def narrow(model: dict, embed_dims: int, width: int) -> dict:
    """Upstream's model for one class, with ``width`` channels and few layers."""
    head = model['panoptic_head']
    head.update(in_channels=[embed_dims] * 4, feat_channels=width, out_channels=width, num_queries=40)
    head.update(num_things_classes=1, loss_cls=dict(head['loss_cls'], class_weight=[1.0, 0.1]))
    encoder, decoder = head['pixel_decoder']['encoder'], head['transformer_decoder']
    encoder['num_layers'], decoder['num_layers'] = 2, 3
    for layer in (encoder['layer_cfg'], decoder['layer_cfg']):
        for name, options in layer.items():
            if name.endswith('attn_cfg'):
                options.update(embed_dims=width, num_heads=4)
        layer['ffn_cfg'].update(embed_dims=width, feedforward_channels=4 * width)
    for part in (head, head['pixel_decoder']):
        part['positional_encoding']['num_feats'] = width // 2
    model['panoptic_fusion_head']['num_things_classes'] = 1
    model['train_cfg']['num_points'] = 3136  # images are small
    model['data_preprocessor']['batch_augments'] = None
    return model


upstream = __import__('mmengine.hub').hub.get_config('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py')
model = dict(
    narrow(upstream.model.to_dict(), _base_.trunk.embed_dims, 64),
    _delete_=True,
    backbone=_base_.model.backbone,
    neck=_base_.model.neck[0],
)
optim_wrapper = dict(clip_grad=dict(max_norm=0.1))
del upstream
