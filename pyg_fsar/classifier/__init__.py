"""A few-shot model as a scikit-learn estimator, and why it gives a clip its label."""

from pyg_fsar.classifier.classifier import FewShotClassifier
from pyg_fsar.classifier.explanation import Explanation
from pyg_fsar.classifier.stream import ActionStream, Detection

__all__ = ["ActionStream", "Detection", "Explanation", "FewShotClassifier"]
