"""Seeing what the model does: attention, gates and features, beside the frozen trunk's.

`daga_mm.visualization.panoptic_visualizer` needs mmdetection; the registry imports it where that is installed.
"""

from .attention_vis_hook import AttentionVisHook
from .panels import draw_attention, draw_blocks, draw_features, draw_gates, draw_heads, write_picture
from .report_page import render_report, write_report
from .streams import Stream, Streams, compare_streams
from .work_dir import Run, read_run

__all__ = [
    'AttentionVisHook',
    'Run',
    'Stream',
    'Streams',
    'compare_streams',
    'draw_attention',
    'draw_blocks',
    'draw_features',
    'draw_gates',
    'draw_heads',
    'read_run',
    'render_report',
    'write_picture',
    'write_report',
]
