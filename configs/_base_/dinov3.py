# The trunks, each written down once, and the one of a run: a config reads `trunk` and its width from here, so that
# TRUNK=vitl16, or --cfg-options trunk=vitl16 of our tools, changes its size. DINOv3's ViT-B is the default.
_base_ = './paths.py'

trunks = {
    name: dict(
        embed_dims=embed_dims,
        patch_size=patch_size,
        backbone=dict(
            arch=arch,
            init_cfg=dict(type='Pretrained', checkpoint=_base_.dinov3_checkpoints + '/' + file),
        ),
    )
    for name, arch, embed_dims, patch_size, file in [
        ('vits16', 'dinov3_vits16', 384, 16, 'dinov3_vits16_pretrain_lvd1689m-08c60483.pth'),
        ('vits16plus', 'dinov3_vits16plus', 384, 16, 'dinov3_vits16plus_pretrain_lvd1689m-4057cbaa.pth'),
        ('vitb16', 'dinov3_vitb16', 768, 16, 'dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth'),
        ('vitl16', 'dinov3_vitl16', 1024, 16, 'dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth'),
        ('vith16plus', 'dinov3_vith16plus', 1280, 16, 'dinov3_vith16plus_pretrain_lvd1689m-7c1da9a5.pth'),
        ('vit7b16', 'dinov3_vit7b16', 4096, 16, 'dinov3_vit7b16_pretrain_lvd1689m-a955f4ea.pth'),
        # DINOv2's, and the benchmark's of its architecture
        ('vits14', 'vit_small_patch14_dinov2', 384, 14, 'dinov2_vits14_pretrain.pth'),
        ('vits14_focus', 'vit_small_patch14_dinov2', 384, 14, 'vit_s14_focus.safetensors'),
    ]
}
trunk = trunks['{{$TRUNK:vitb16}}']
