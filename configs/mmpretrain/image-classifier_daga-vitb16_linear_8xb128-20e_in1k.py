_base_ = './image-classifier_daga-vits16_linear_8xb128-20e_in1k.py'
model = dict(backbone=_base_.vitb16, head=dict(in_channels=2 * 768))
