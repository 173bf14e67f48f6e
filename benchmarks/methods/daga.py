# DAGA as published but for its start: a channel gate after blocks 1 2 10 11 of 12.
model = dict(backbone=dict(adapter=dict(type='DAGA', layers=(1, 2, -2, -1), gate='channel')))
seeds = 3
