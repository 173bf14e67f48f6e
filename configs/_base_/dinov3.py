# DINOv3's trunks, each written down once, and the one of a run: a config reads `trunk` and its width from here, so that
# TRUNK=vitl16, or --cfg-options trunk=vitl16 of our tools, changes its size. ViT-B is the default.
_base_ = './paths.py'

trunks = {
    name: dict(
        embed_dims=embed_dims,
        quarter_ends=quarter_ends,  # the blocks that DINOv3's dense heads read, DAGAViT's default out_indices
        backbone=dict(
            arch='dinov3_' + name,
            init_cfg=dict(type='Pretrained', checkpoint=_base_.dinov3_checkpoints + '/' + file),
        ),
    )
    for name, embed_dims, quarter_ends, file in [
        ('vits16', 384, (2, 5, 8, 11), 'dinov3_vits16_pretrain_lvd1689m-08c60483.pth'),
        ('vits16plus', 384, (2, 5, 8, 11), 'dinov3_vits16plus_pretrain_lvd1689m-4057cbaa.pth'),
        ('vitb16', 768, (2, 5, 8, 11), 'dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth'),
        ('vitl16', 1024, (4, 11, 17, 23), 'dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth'),
        ('vith16plus', 1280, (7, 15, 23, 31), 'dinov3_vith16plus_pretrain_lvd1689m-7c1da9a5.pth'),
        ('vit7b16', 4096, (9, 19, 29, 39), 'dinov3_vit7b16_pretrain_lvd1689m-a955f4ea.pth'),
    ]
}
trunk = trunks['{{$TRUNK:vitb16}}']
