"""A few-shot model with the habits of scikit-learn, and why it gives a clip its label."""

from pyg_fsar.classifier.classifier import FewShotClassifier
from pyg_fsar.classifier.explanation import Explanation

__all__ = ["Explanation", "FewShotClassifier"]
