"""Pictures of skeletons, of how alike their joints are, and of how clips are aligned, also as an
HTML page.
"""

from pyg_fsar.visualization.alignment import plot_alignment
from pyg_fsar.visualization.heatmap import plot_joint_similarity, plot_similarity_maps
from pyg_fsar.visualization.report import ReportClass, alignment_report
from pyg_fsar.visualization.strip import plot_skeleton_strip

__all__ = [
    "ReportClass",
    "alignment_report",
    "plot_alignment",
    "plot_joint_similarity",
    "plot_similarity_maps",
    "plot_skeleton_strip",
]
