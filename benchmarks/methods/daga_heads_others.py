# As daga_heads.py, with the maps of other images.
model = dict(backbone=dict(adapter=dict(type='OthersDAGA', layers='all', gate='heads', bottleneck_dim=56)))
tuned_as = 'daga_heads'
custom_imports = dict(imports=['daga_mm.compat', 'controls'], allow_failed_imports=False)
val_dataloader = dict(batch_size=8)  # others are there in validation too
datasets = ['camvid_linear']
seeds = 3
