# The trunks, each written down once, and the one of a run: a config reads `trunk`, its width and its normalisation of
# images from here, so that TRUNK=vitl16, or --cfg-options trunk=vitl16 of our tools, changes them all. DINOv3's ViT-B
# is the default.
_base_ = './paths.py'

# Of RGB in 0..255, by the images of the pretraining: ImageNet's values, also of LVD-1689M and LVD-142M, and those of
# the satellite images SAT-493M (DINOv3's README).
normalizations = {
    name: dict(mean=[round(255 * value, 3) for value in mean], std=[round(255 * value, 3) for value in std])
    for name, mean, std in [
        ('imagenet', (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ('sat493m', (0.430, 0.411, 0.296), (0.213, 0.156, 0.143)),
    ]
}
trunks = {
    name: dict(
        embed_dims=embed_dims,
        patch_size=patch_size,
        quarter_ends=quarter_ends,  # the blocks that DINOv3's dense heads read, DAGAViT's default out_indices
        normalization=normalizations['sat493m' if 'sat493m' in file else 'imagenet'],
        backbone=dict(
            arch=arch,
            init_cfg=dict(type='Pretrained', checkpoint=_base_.dinov3_checkpoints + '/' + file),
        ),
    )
    for name, arch, embed_dims, patch_size, quarter_ends, file in [
        ('vits16', 'dinov3_vits16', 384, 16, (2, 5, 8, 11), 'dinov3_vits16_pretrain_lvd1689m-08c60483.pth'),
        ('vits16plus', 'dinov3_vits16plus', 384, 16, (2, 5, 8, 11), 'dinov3_vits16plus_pretrain_lvd1689m-4057cbaa.pth'),
        ('vitb16', 'dinov3_vitb16', 768, 16, (2, 5, 8, 11), 'dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth'),
        ('vitl16', 'dinov3_vitl16', 1024, 16, (4, 11, 17, 23), 'dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth'),
        (
            'vith16plus',
            'dinov3_vith16plus',
            1280,
            16,
            (7, 15, 23, 31),
            'dinov3_vith16plus_pretrain_lvd1689m-7c1da9a5.pth',
        ),
        ('vit7b16', 'dinov3_vit7b16', 4096, 16, (9, 19, 29, 39), 'dinov3_vit7b16_pretrain_lvd1689m-a955f4ea.pth'),
        # trained on satellite images
        ('vitl16_sat', 'dinov3_vitl16', 1024, 16, (4, 11, 17, 23), 'dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth'),
        ('vit7b16_sat', 'dinov3_vit7b16', 4096, 16, (9, 19, 29, 39), 'dinov3_vit7b16_pretrain_sat493m-a6675841.pth'),
        # DINOv2's, and the benchmark's of its architecture
        ('vits14', 'vit_small_patch14_dinov2', 384, 14, (2, 5, 8, 11), 'dinov2_vits14_pretrain.pth'),
        ('vits14_focus', 'vit_small_patch14_dinov2', 384, 14, (2, 5, 8, 11), 'vit_s14_focus.safetensors'),
    ]
}
trunk = trunks['{{$TRUNK:vitb16}}']
