_base_ = './robustness_daga-vits16_in1k.py'
model = dict(backbone=_base_.vitb16, head=dict(in_channels=2 * 768))
