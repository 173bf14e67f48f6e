# ImageNet-C, -A and -R beside the clean validation set; the checkpoint is one of the config below.
_base_ = './image-classifier_daga-vitb16_linear_8xb128-30e_in1k.py'
test_evaluator = []  # the loop measures by itself
test_cfg = dict(
    type='daga_mm.RobustnessLoop',
    imagenet_c=dict(  # cut to 224 already
        data_root=_base_.imagenet_c_root, pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    ),
    imagenet_a=dict(data_root=_base_.imagenet_a_root, pipeline=_base_.test_pipeline),
    imagenet_r=dict(data_root=_base_.imagenet_r_root, pipeline=_base_.test_pipeline),
)
