# The trunks, each written down once. A config takes one by name: model = dict(backbone=_base_.vitb16).
_base_ = './paths.py'

vits16 = dict(
    arch='dinov3_vits16',
    init_cfg=dict(
        type='Pretrained',
        checkpoint=_base_.dinov3_checkpoints + '/dinov3_vits16_pretrain_lvd1689m-08c60483.pth',
    ),
)
vitb16 = dict(
    arch='dinov3_vitb16',
    init_cfg=dict(
        type='Pretrained',
        checkpoint=_base_.dinov3_checkpoints + '/dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth',
    ),
)
vitl16 = dict(
    arch='dinov3_vitl16',
    init_cfg=dict(
        type='Pretrained',
        checkpoint=_base_.dinov3_checkpoints + '/dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth',
    ),
)
