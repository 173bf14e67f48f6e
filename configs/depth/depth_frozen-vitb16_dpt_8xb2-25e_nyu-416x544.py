_base_ = './depth_daga-vitb16_dpt_8xb2-25e_nyu-416x544.py'
model = dict(backbone=dict(adapter=None))
