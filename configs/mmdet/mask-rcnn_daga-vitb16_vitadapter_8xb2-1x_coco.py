# Mask R-CNN on a frozen DINOv3 ViT with DAGA. The neck has ViT-Adapter's drop path: of L from L on, below of B.
_base_ = ['../_base_/coco_1x.py', 'mmdet::_base_/models/mask-rcnn_r50_fpn.py']
dims = _base_.trunk.embed_dims
model = dict(
    data_preprocessor=_base_.trunk.normalization,
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', adapter='daga', with_image=True, **_base_.trunk.backbone),
    neck=[
        dict(
            type='daga_mm.ViTAdapterNeck',
            embed_dims=dims,
            patch_size=_base_.trunk.patch_size,
            drop_path_rate=0.4 if dims > 768 else 0.3,
        ),
        dict(type='FPN', in_channels=4 * [dims], out_channels=256, num_outs=5),
    ],
)
