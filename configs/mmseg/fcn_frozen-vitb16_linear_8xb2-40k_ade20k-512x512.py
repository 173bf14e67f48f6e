_base_ = './fcn_daga-vitb16_linear_8xb2-40k_ade20k-512x512.py'
model = dict(backbone=dict(adapter=None))
