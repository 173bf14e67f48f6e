# As daga.py, with the maps of other images.
model = dict(backbone=dict(adapter=dict(type='OthersDAGA', layers=(1, 2, -2, -1), gate='channel')))
tuned_as = 'daga'
custom_imports = dict(imports=['daga_mm.compat', 'controls'], allow_failed_imports=False)
val_dataloader = dict(batch_size=8)  # others are there in validation too
datasets = ['camvid_linear']
seeds = 3
