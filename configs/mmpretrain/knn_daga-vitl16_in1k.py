_base_ = './knn_daga-vits16_in1k.py'
model = dict(backbone=_base_.vitl16)
