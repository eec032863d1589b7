"""A few-shot model as a scikit-learn estimator."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_fsar.classifier.class_distances import ClassDistances, find_search
from pyg_fsar.classifier.clips import (
    Clip,
    Clips,
    Transform,
    check_clips,
    join_labels,
    label_array,
    prepare_clip,
)
from pyg_fsar.classifier.explanation import Explanation, align_with_class, joint_evidence
from pyg_fsar.classifier.reporting import name_of, pose_transform, report_page
from pyg_fsar.classifier.storage import CLASSIFIER, read_folder, write_folder
from pyg_fsar.classifier.stream import ActionStream, Comparison, Detection
from pyg_fsar.classifier.unknown import (
    COPIES,
    accepted,
    check_unknown,
    class_thresholds,
    named,
    perturbed,
)
from pyg_fsar.data import EmbeddedClips, SkeletonSequence
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import NearestSearch, missing_for_pictures, refuse_relative
from pyg_fsar.nn.evaluation_mode import evaluation_mode
from pyg_fsar.nn.hooks import warn_of_uncalled_hooks
from pyg_fsar.saving import decode, encode, is_whole
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.weights import PREPARATION, load_pretrained

__all__ = ["FewShotClassifier"]

FALSE_ALARMS = 0.05


class FewShotClassifier:
    r"""Names clips by a few examples of each class, as a scikit-learn estimator.

    Nothing is trained: :meth:`fit` embeds the examples, which are the support, and the matcher
    compares other clips with them. Fit again after the model's weights have changed. The model is
    in evaluation mode while it is used here, and then as it was. scikit-learn, which is not needed
    here, can clone, cross-validate and search it.

    Clips come in a dataset, a list or an array. Each is a
    :class:`~pyg_fsar.data.SkeletonSequence`, or an array ``[M, T, V, C]`` or ``[T, V, C]``. Clips
    may differ in length, and none is padded.

    Args:
        model: The model, a folder of :meth:`~pyg_fsar.nn.PretrainedModule.save_pretrained`, or a
            name in :data:`pyg_fsar.weights.PRETRAINED`; if not given, that of
            :func:`pyg_fsar.load_pretrained`, which takes clips of any layout with the joints of a
            body, 3D or 2D. Such a name, or a folder of :func:`pyg_fsar.weights.save_model`, has
            its preparation, which is then the transform if none is given.
        skeleton: Layout of clips that are arrays, or its registered name; that of the encoder if
            not given.
        transform: Prepares every clip like those that the model was trained on, for instance
            :func:`pyg_fsar.transforms.clip_transform`. It must not be random. If not given, clips
            stay as they are, or without a model get the preparation of that which is loaded.
        device: Where to compute, to which the model is moved; where the model is if not given.
        batch_size: Clips that are encoded and matched at once, which bounds the memory.
        unknown: Label of clips that are near to no class, a text or a number. If not given, every
            clip gets the label of a class.
        false_alarms: With ``unknown``, the fraction of clips of no class that may get the label of
            one. The examples alone calibrate it, so with few of them it is rough.

    Attributes:
        classes_: The labels that :meth:`fit` was given, each once and sorted; ``[N]``. The unknown
            label is not among them.
        skeleton_: Layout of the clips that the encoder gets.
        thresholds_: With ``unknown``, the largest of :meth:`distances` at which a clip is taken for
            one of a class; ``[N]``.

    Raises:
        TypeError: If the model is no :class:`~pyg_fsar.FewShotModel`, the batch size no whole
            number, or the unknown label neither text nor number.
        ValueError: If the batch size is not positive, the skeleton unknown, ``false_alarms`` not
            between 0 and 1 or given without ``unknown``, or the unknown label NaN; if there is no
            model of that name, or the folder is a fitted classifier, which :meth:`load` opens.

    Example:
        >>> classifier = FewShotClassifier(skeleton="coco17")
        >>> classifier.fit(clips, ["wave", "wave", "kick"]).predict(queries)
        array(['kick', 'wave'], dtype='<U4')
    """

    classes_: np.ndarray
    skeleton_: Skeleton
    thresholds_: np.ndarray
    # What scikit-learn before its version 1.6 asks for in place of tags.
    _estimator_type = "classifier"

    def __init__(
        self,
        model: FewShotModel | str | Path | None = None,
        skeleton: str | Skeleton | None = None,
        transform: Transform | None = None,
        device: torch.device | str | None = None,
        batch_size: int = 64,
        unknown: Any = None,
        false_alarms: float = FALSE_ALARMS,
    ) -> None:
        if isinstance(model, str | Path):
            if Path(model, CLASSIFIER).is_file():
                raise ValueError(
                    f"{model} is a fitted classifier; open it by FewShotClassifier.load(folder)"
                )
            if Path(model).is_dir() and not Path(model, PREPARATION).is_file():
                model = FewShotModel.from_pretrained(model)
            else:
                model, prepared = load_pretrained(model)
                transform = prepared if transform is None else transform
        if not isinstance(model, FewShotModel | None):
            raise TypeError(
                f"model must be a FewShotModel or a folder of one, got {type(model).__name__}; "
                "join an encoder and a matcher by FewShotModel(encoder, matcher)"
            )
        if not isinstance(batch_size, int | np.integer):
            raise TypeError(f"batch_size must be a whole number, got {batch_size!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        check_unknown(unknown, false_alarms)
        if unknown is None and false_alarms != FALSE_ALARMS:
            raise ValueError(
                "false_alarms has no effect without a label for unknown clips; give unknown=, such "
                "as unknown='none of these'"
            )
        if skeleton is not None:
            Skeleton.get(skeleton)
        self.model = model if model is None or device is None else model.to(device)
        self.skeleton = skeleton
        self.transform = transform
        self.device = device
        self.batch_size = batch_size
        self.unknown = unknown
        self.false_alarms = false_alarms
        self._default: tuple[FewShotModel, Transform] | None = None
        self._support: EmbeddedClips | None = None
        self._examples: Clips | None = None  # one for each of the support, for report
        # Of a large support, if the matcher has lower bounds.
        self._search: NearestSearch | None = None
        # Of an example that is the only one of its class; NaN of others.
        self._copy_distances = np.empty(0)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments it was made with, by name, as scikit-learn asks for them.

        In place of a folder it is the model from there.

        Args:
            deep: Has no effect, since no argument has parameters of this kind.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> FewShotClassifier:
        """Change some of the arguments. Clears the fitted support; call :meth:`fit` again.

        Args:
            **params: Arguments by name.

        Raises:
            ValueError: If there is no argument of that name, or as when it is made.
            TypeError: As when it is made.
        """
        known = self.get_params()
        if unknown := sorted(params.keys() - known):
            raise ValueError(f"unknown parameter '{unknown[0]}'; known are {', '.join(known)}")
        if params:
            self.__init__(**known | params)  # type: ignore[misc]
        return self

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn itself calls this, so it is there.
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            "classifier",
            TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=False, three_d_array=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return self._support is not None

    def fit(self, clips: Clips, labels: Collection[Any]) -> FewShotClassifier:
        """Make these clips the support, in place of any before. They are kept, not copied, since
        :meth:`report` draws them.

        Args:
            clips: At least one clip; classes may have different numbers of them.
            labels: Label of each clip: texts, numbers, or whatever else can be sorted.

        Raises:
            ValueError: If there is no clip or there are more or fewer labels; if a clip has no
                frame, a value that is not finite, or another skeleton than the encoder; if clips
                differ in length or channels and the matcher cannot compare them; if a label is
                NaN or the unknown one; or if with ``unknown`` the matcher only ranks the classes.
            TypeError: If something is no clip, or labels cannot be sorted.
        """
        check_clips(clips)
        self._learn(clips, label_array(labels, len(clips)), self._layout(clips), None)
        return self

    def partial_fit(self, clips: Clips, labels: Collection[Any]) -> FewShotClassifier:
        """Add examples, of classes that are there or new ones; the others are not embedded again.

        The same as :meth:`fit` with all examples so far and then these. Before :meth:`fit` it is
        :meth:`fit`.

        Args:
            clips: As for :meth:`fit`.
            labels: As for :meth:`fit`.

        Raises:
            ValueError: As for :meth:`fit`; the classifier then stays as it was.
            TypeError: As for :meth:`fit`, and if labels are of another kind than those before.
        """
        if self._support is None:
            return self.fit(clips, labels)
        check_clips(clips)
        given = label_array(labels, len(clips))
        self._learn(clips, given, self.skeleton_, self._support)
        return self

    def remove(self, label: Any) -> FewShotClassifier:
        """Forget a class and its examples; the others are not embedded again.

        The same as :meth:`fit` with the examples of the other classes.

        Args:
            label: One of ``classes_``.

        Raises:
            ValueError: Before :meth:`fit`, or if there is no such class or no other one.
        """
        support, known = self._fitted(), self.classes_.tolist()
        if label not in known:
            raise ValueError(f"unknown label {label!r:.80}; known are {known!s:.200}")
        if len(known) == 1:
            raise ValueError(
                f"{known[0]!r} is the only class, and one must remain; use fit instead"
            )
        number = known.index(label)
        assert support.y is not None
        rest = support[support.y != number]
        assert rest.y is not None
        rest = rest.with_y(rest.y - (rest.y > number).to(rest.y.dtype))
        copies = self._copy_distances[(support.y != number).cpu().numpy()]
        with evaluation_mode(self._few_shot), torch.no_grad():
            search = find_search(self._few_shot, rest, len(known) - 1)
            self._keep(np.delete(self.classes_, number), rest, copies, search)
        if self._examples is not None:
            kept = (support.y != number).nonzero().flatten().tolist()
            examples: Any = self._examples
            self._examples = [examples[row] for row in kept]
        return self

    def _learn(
        self, clips: Clips, labels: np.ndarray, layout: Skeleton, before: EmbeddedClips | None
    ) -> None:
        """Make clips the support, behind what was there before."""
        copies = np.empty(0)
        if before is not None:
            assert before.y is not None
            labels = join_labels(self.classes_[before.y.cpu().numpy()], labels)
            copies = self._copy_distances
        classes, y = np.unique(labels, return_inverse=True)
        if classes.dtype.kind == "U":  # as wide as its own texts, not as those it was chosen from
            classes = np.array(classes.tolist())
        if self.unknown is not None and self.unknown in classes.tolist():
            raise ValueError(
                f"{self.unknown!r} is the label of unknown clips, so no example can have it; give "
                "FewShotClassifier(unknown=...) another"
            )
        model = self._few_shot
        if self.unknown is not None:
            refuse_relative(model.matcher, "unknown=")
        # Of the new examples those that are the only one of their class, and these as prepared.
        single = (np.bincount(y)[y] == 1)[len(copies) :] & (self.unknown is not None)
        kept: list[SkeletonSequence] = []

        def prepared() -> Iterator[SkeletonSequence]:
            for number, clip in enumerate(self._prepared(clips, layout, self._preparation)):
                if single[number]:
                    kept.append(clip)
                yield clip

        with evaluation_mode(model), torch.no_grad():
            added = EmbeddedClips.cat(list(self._embed_prepared(prepared())))
            support = added if before is None else EmbeddedClips.cat([before, added])
            support = support.with_y(torch.from_numpy(y).to(support.x.device))
            search = find_search(model, support, len(classes))
            if search is None:
                # A matcher that cannot compare these clips says so here, and not when predicting.
                model.match(support, support[:1])
            added_copies = np.full(len(added), np.nan)
            added_copies[single] = self._measure_copies(kept, added[torch.from_numpy(single)])
            self._keep(classes, support, np.concatenate([copies, added_copies]), search)
        if before is None:
            self._examples = clips if hasattr(clips, "__getitem__") else list(clips)
        elif self._examples is not None:
            self._examples = [*self._examples, *clips]
        self.skeleton_ = layout

    def _measure_copies(
        self, clips: Sequence[SkeletonSequence], examples: EmbeddedClips
    ) -> np.ndarray:
        """Mean distance of perturbed copies of prepared clips to the embeddings of these."""
        own_class, distances = self._class_distances.own_class(), np.zeros(len(clips))
        size = max(1, self.batch_size // COPIES)
        for first in range(0, len(clips), size):
            part = slice(first, first + size)
            copies = [copy for clip in clips[part] for copy in perturbed(clip)]
            embedded = self._few_shot.embed(copies).to(examples.x.device)
            far = own_class.to_clips(embedded, examples[part]).view(-1, COPIES)
            distances[part] = far.mean(dim=1).numpy()
        return distances

    def _keep(
        self,
        classes: np.ndarray,
        support: EmbeddedClips,
        copies: np.ndarray,
        search: NearestSearch | None,
    ) -> None:
        """Take over a support, after all that can fail."""
        if self.unknown is not None:
            class_distances = ClassDistances(self._few_shot, self.batch_size, search)
            self.thresholds_ = class_thresholds(
                class_distances.distances, support, len(classes), copies, self.false_alarms,
                own_class=class_distances.own_class(),
            )  # fmt: skip
        self._search = search
        self.classes_, self._support, self._copy_distances = classes, support, copies

    @property
    def support_(self) -> EmbeddedClips:
        """The embedded examples, see the class; errors as for :meth:`predict`."""
        return self._fitted()

    def predict(self, clips: Clips) -> np.ndarray:
        """The most probable label of each clip.

        With ``unknown`` it is that of the nearest class among those within their thresholds, and
        the unknown label where there is none. That is of the kind of the other labels, as texts
        are; else labels are an array of objects.

        Shapes:
            - **output:** ``[n]``

        Raises:
            ValueError: Before :meth:`fit` (scikit-learn's ``NotFittedError`` where that is loaded),
                and for clips that :meth:`fit` refuses.
            TypeError: If something is no clip.
            FloatingPointError: If an embedding or a logit is NaN.
        """
        search = self._class_distances.search
        if search is None:
            numbers = accepted(self.distances(clips), self._thresholds())
        else:
            numbers = self._nearest(clips, search)
        return named(numbers, self.classes_, self.unknown)

    def predict_proba(self, clips: Clips) -> np.ndarray:
        """Probability of each class, in the order of ``classes_``; errors as for :meth:`predict`.

        It is the softmax of the matcher's logits, so the matcher's scale decides how sharp it is.
        The unknown label has no column: probabilities are those of a clip that is of some class,
        and rows sum to 1 also for clips that :meth:`predict` gives the unknown label.

        Shapes:
            - **output:** ``[n, N]``; rows sum to 1
        """
        return self._logits(clips).softmax(dim=-1).numpy()

    def distances(self, clips: Clips) -> np.ndarray:
        """Distance of each clip to each class, in the order of ``classes_``; errors as for
        :meth:`predict`.

        Unlike probabilities, which only compare the classes, they tell whether a clip resembles any
        of them. They are the matcher's, or minus its logits if it has no scale.

        Shapes:
            - **output:** ``[n, N]``
        """
        return -self._logits(clips).numpy() / self._class_distances.scale

    def decision_function(self, clips: Clips) -> np.ndarray:
        """Minus :meth:`distances`, as scikit-learn asks for; errors as for :meth:`predict`.

        It has a column for each class also where there are two: a distance to either class is
        needed to tell whether a clip is of any.

        Shapes:
            - **output:** ``[n, N]``
        """
        return -self.distances(clips)

    def score(self, clips: Clips, labels: Collection[Any]) -> float:
        """Fraction of clips that get the label given; errors as for :meth:`fit` and
        :meth:`predict`.
        """
        check_clips(clips)
        predicted = self.predict(clips)
        if predicted.dtype == object and len(labels) == len(predicted):
            given = np.array([*labels, None], dtype=object)[:-1]  # one label each, of any kinds
        else:
            given = label_array(labels, len(clips))
        return float((predicted == given).mean())

    def explain(self, clip: Clip, label: Any = None) -> Explanation:
        """Why a clip gets its label: what it resembles, which frames meet, which joints count.

        Args:
            clip: One clip.
            label: Explain this label instead of the predicted one.

        Raises:
            ValueError: Before :meth:`fit`, if the label is unknown, or for a clip that :meth:`fit`
                refuses.
            TypeError: If it is no clip, or the matcher has no methods ``align`` and ``references``.
        """
        support, class_distances = self._fitted(), self._class_distances
        matcher = self._few_shot.matcher
        if missing := missing_for_pictures(matcher):
            raise TypeError(
                f"{missing}, so its decisions cannot be explained; give it one, or use "
                "pyg_fsar.matching.Matcher"
            )
        labels = self.classes_.tolist()
        if label is not None and label not in labels:
            raise ValueError(f"unknown label {label!r:.80}; known are {labels!s:.200}")
        with evaluation_mode(self._few_shot), torch.no_grad():
            (embedded,) = self._embed([clip], self.skeleton_)
            query = embedded.clip(0)
            logits = class_distances.logits(support, embedded, len(labels))[0]
            distances = -logits[None].numpy() / class_distances.scale
            found = int(accepted(distances, self._thresholds())[0])
            best = int(logits.argmax()) if found < 0 else found
            number = best if label is None else labels.index(label)
            search = class_distances.search
            options = None if search is None else search.alignment_options(number)
            aligned = align_with_class(matcher, support, query, number, options)
            evidence = joint_evidence(class_distances.logits, support, query, number, len(labels))
        return Explanation(
            prediction=self.unknown if found < 0 else labels[best],
            label=labels[number],
            probabilities=logits.softmax(dim=-1).numpy(),
            joint_evidence=evidence.numpy(),
            **aligned._asdict(),
        )

    def report(
        self, clip: Clip, path: str | Path, label: Any = None, examples: Clips | None = None
    ) -> Explanation:
        """Write :meth:`explain` as one HTML file that any browser shows, without a network.

        It has the clip and the nearest example as moving skeletons, prepared as for the encoder,
        the frame costs and their alignment, the evidence of the joints and the distances of all
        classes; see :func:`~pyg_fsar.visualization.alignment_report`.

        Args:
            clip: One clip.
            path: The file, which is replaced if it exists; its folder is made.
            label: Explain this label instead of the predicted one.
            examples: The clips that it was fitted with, in the same order. Needed after
                :meth:`load`, since a saved classifier has the embeddings alone.

        Raises:
            ValueError: As :meth:`explain`; if examples are needed, or are not those that it was
                fitted with; or if a clip has no joint that can be drawn.
            TypeError: As :meth:`explain`.
        """
        why = self.explain(clip, label)
        example = self.example(why.support, examples)
        poses = pose_transform(self._preparation)
        shown, near = self._prepared([clip, example], self.skeleton_, poses)
        page = report_page(
            why,
            (shown, near),
            (name_of(clip, "query"), name_of(example, f"example {why.support}")),
            labels=self.classes_.tolist(),
            distances=self.distances([clip])[0],
            thresholds=self._thresholds(),
            model=self._few_shot,
            preparation=_description(self._preparation),
        )
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="ascii", newline="\n")
        return why

    def example(self, number: int, examples: Clips | None = None) -> Clip:
        """A clip that it was fitted with, such as the nearest one of an explanation.

        Args:
            number: Its position in what :meth:`fit` was given, as an explanation's ``support``.
            examples: All these clips. Needed after :meth:`load`, since a saved classifier has the
                embeddings alone.

        Raises:
            ValueError: Before :meth:`fit`, if there is no such example, or if the examples are
                needed or are not those that it was fitted with.
        """
        support = self._fitted()
        if not 0 <= number < len(support):
            raise ValueError(
                f"there are {len(support)} examples, 0 to {len(support) - 1}, got {number}"
            )
        clips: Any = self._examples if examples is None else examples
        if clips is None:
            raise ValueError(
                "a classifier that was loaded has no clips of its examples to draw; give those "
                "that it was fitted with, in their order: examples=clips"
            )
        check_clips(clips)
        if len(clips) == len(support):
            example = clips[number]
            with evaluation_mode(self._few_shot), torch.no_grad():
                (embedded,) = self._embed([example], self.skeleton_)
            found, fitted = embedded.clip(0), support.clip(number)
            if found.shape == fitted.shape and torch.allclose(
                found, fitted, rtol=1e-3, atol=1e-3 * float(fitted.abs().max())
            ):
                return example
        raise ValueError(
            "the examples are not those that the classifier was fitted with, or not in their "
            "order; give the same clips as to fit: examples=clips"
        )

    def stream(self, skeleton: str | Skeleton | None = None, **options: Any) -> ActionStream:
        """Find actions in frames that arrive one at a time, in constant memory.

        Args:
            skeleton: Layout of the frames, or its registered name; that of arrays if not given.
            **options: As for :class:`~pyg_fsar.classifier.ActionStream`.

        Raises:
            ValueError: Before :meth:`fit`, if the layout is unknown or an option out of range, or
                if the matcher cannot compare clips of different lengths or only ranks the classes.
            TypeError: If an option is unknown or no whole number where it must be one.
        """
        support, model = self._fitted(), self._few_shot
        refuse_relative(model.matcher, "finding actions")
        arrays = self.skeleton_ if self.skeleton is None else Skeleton.get(self.skeleton)
        source = arrays if skeleton is None else Skeleton.get(skeleton)

        def embed(clips: Clips) -> EmbeddedClips:
            return EmbeddedClips.cat(list(self._embed(clips, self.skeleton_)))

        with evaluation_mode(model), torch.no_grad():
            search = self._class_distances.search
            search = search or find_search(model, support, len(self.classes_), least=1)
        comparison = Comparison(
            model, support, self.classes_.tolist(), embed, self._preparation,
            ClassDistances(model, self.batch_size, search), self._thresholds(),
        )  # fmt: skip
        return ActionStream(comparison, source, **options)

    def spot(self, clip: Clip, **options: Any) -> list[Detection]:
        """Find actions in a whole recording: what a :meth:`stream` of its frames reports.

        Args:
            clip: The recording.
            **options: As for :class:`~pyg_fsar.classifier.ActionStream`.

        Returns:
            Tuples ``(start, end, label, probability)`` in the order of time; both frames included.

        Raises:
            ValueError: As for :meth:`stream` and its frames, and for other axes.
            TypeError: If it is no clip, or as for :meth:`stream`.
        """
        if not isinstance(clip, SkeletonSequence | Tensor | np.ndarray):
            raise TypeError(
                f"the recording is of type {type(clip).__name__}; give a SkeletonSequence, or an "
                "array [M, T, V, C] or [T, V, C]"
            )
        skeleton = clip.skeleton if isinstance(clip, SkeletonSequence) else None
        bodies = clip.bodies if isinstance(clip, SkeletonSequence) else clip
        if bodies.ndim not in (3, 4):
            raise ValueError(f"a recording is [M, T, V, C] or [T, V, C], got {tuple(bodies.shape)}")
        stream = self.stream(skeleton, **options)
        frames = bodies if bodies.ndim == 3 else bodies.swapaxes(0, 1)
        found = [action for frame in frames if (action := stream.push(frame)) is not None]
        return found + stream.finish()

    def save(self, folder: str | Path) -> None:
        """Write model, support embeddings and labels, from which nothing that is loaded can run
        code.

        The folder is that of :meth:`~pyg_fsar.nn.PretrainedModule.save_pretrained` with two more
        files, and holds the transform if it is of this package. It takes the place of an earlier
        one only when it is whole.

        Args:
            folder: Where to: a new folder, or one that was saved before.

        Raises:
            ValueError: Before :meth:`fit`.
            TypeError: If a label is no text or number, which alone JSON can hold.
            FileExistsError: If the folder holds other files.
        """
        support = self._fitted()
        for label in self.classes_.tolist():
            if not isinstance(label, str | int | float):
                raise TypeError(
                    f"label {label!r} is no text or number, so JSON cannot hold it; fit with such "
                    "labels to save"
                )
        arrays = None if self.skeleton is None else Skeleton.get(self.skeleton)
        config = {
            "classes": self.classes_,
            "skeleton": self.skeleton_,
            "arrays": encode(arrays),
            "transform": _description(self._preparation),
            "preparation": encode(self._preparation),
            "batch_size": int(self.batch_size),
            "unknown": np.asarray(self.unknown).item(),
            "false_alarms": float(self.false_alarms),
            "thresholds": None if self.unknown is None else self.thresholds_.tolist(),
            # NaN is not among JSON's numbers.
            "copies": [None if value != value else value for value in self._copy_distances],
        }
        write_folder(Path(folder), self._few_shot, support, config)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        transform: Transform | None = None,
        device: torch.device | str | None = None,
        **arguments: Any,
    ) -> FewShotClassifier:
        """The fitted classifier of a folder that :meth:`save` wrote.

        Args:
            folder: The folder.
            transform: The transform that it was fitted with, needed where that was not made of
                transforms of this package alone. It is compared with the former by its ``repr``.
            device: Where to compute; on the CPU if not given.
            **arguments: As for :meth:`~pyg_fsar.nn.PretrainedModule.from_pretrained`: arguments of
                the model that JSON cannot hold, such as ``encoder=torch.nn.Identity()``.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is damaged, the transform is another, or an argument is missing.
            RuntimeError: If the weights are damaged or do not fit the model.
        """
        config, support = read_folder(Path(folder))
        stored = config["preparation"]
        if transform is None and is_whole(stored):
            transform = decode(stored, f"the transform in {folder}")
        if (given := _description(transform)) != config["transform"]:
            raise ValueError(
                f"the classifier in {folder} was fitted with transform="
                f"{config['transform']!s:.120}, but got transform={given!s:.120}; give the one "
                "that it was fitted with: load(folder, transform)"
            )
        model = FewShotModel.from_pretrained(config["model"], **arguments)
        arrays = decode(config["arrays"], f"the layout of arrays in {folder}")
        classifier = cls(
            model, arrays, transform, device,
            config["batch_size"], config["unknown"], config["false_alarms"],
        )  # fmt: skip
        if config["thresholds"] is not None:
            classifier.thresholds_ = config["thresholds"]
        classifier._copy_distances = config["copies"]
        classifier.classes_, classifier.skeleton_ = config["classes"], config["skeleton"]
        Skeleton.register(classifier.skeleton_)  # clips know theirs by its name
        classifier._support = support.to(classifier._place())
        with torch.no_grad():
            classifier._search = find_search(
                classifier._few_shot, classifier._support, len(config["classes"])
            )
        return classifier

    def _fitted(self) -> EmbeddedClips:
        if self._support is None:
            raise _not_fitted("the classifier has no support yet; call fit(clips, labels) first")
        return self._support

    @property
    def _few_shot(self) -> FewShotModel:
        """The model, be it given or the one that comes with the package."""
        return self._loaded()[0] if self.model is None else self.model

    @property
    def _preparation(self) -> Transform | None:
        """What prepares clips, be it given or that of the model of the package."""
        if self.transform is None and self.model is None:
            return self._loaded()[1]
        return self.transform

    def _loaded(self) -> tuple[FewShotModel, Transform]:
        if self._default is None:
            model, transform = load_pretrained()
            self._default = model.to("cpu" if self.device is None else self.device), transform
        return self._default

    @property
    def _class_distances(self) -> ClassDistances:
        return ClassDistances(self._few_shot, self.batch_size, self._search)

    def _place(self) -> torch.device:
        """Where to compute, which a model without parameters does not know."""
        here = next(self._few_shot.parameters(), torch.empty(0)).device
        return here if self.device is None else torch.device(self.device)

    def _layout(self, clips: Clips) -> Skeleton:
        """The encoder's skeleton; that of the clips if it takes any, as torch.nn.Identity does."""
        own = getattr(self._few_shot.encoder, "skeleton", None)
        if own is None:
            arrays = None if self.skeleton is None else Skeleton.get(self.skeleton)
            own = prepare_clip(next(iter(clips)), 0, arrays, None, self._preparation).skeleton
        return Skeleton.get(own)

    def _prepared(
        self, clips: Iterable[Clip], layout: Skeleton, transform: Transform | None
    ) -> Iterator[SkeletonSequence]:
        """Transformed clips of the encoder's layout."""
        arrays = layout if self.skeleton is None else Skeleton.get(self.skeleton)
        for number, clip in enumerate(clips):
            yield prepare_clip(clip, number, arrays, layout, transform)

    def _embed(self, clips: Iterable[Clip], layout: Skeleton) -> Iterator[EmbeddedClips]:
        """Embedded clips, one batch after the other."""
        return self._embed_prepared(self._prepared(clips, layout, self._preparation))

    def _embed_prepared(self, prepared: Iterator[SkeletonSequence]) -> Iterator[EmbeddedClips]:
        warn_of_uncalled_hooks(self._few_shot, "FewShotClassifier")
        place, first = self._place(), 0
        while batch := list(islice(prepared, self.batch_size)):
            embedded = self._few_shot.embed(batch).to(place)
            _refuse_nan(embedded.x, "the embedding of clip", first)
            first += len(batch)
            yield embedded

    def _nearest(self, clips: Clips, search: NearestSearch) -> np.ndarray:
        """As :func:`accepted` of all distances, by lower bounds."""
        check_clips(clips)
        limits = None if self.unknown is None else torch.from_numpy(self.thresholds_)
        with evaluation_mode(self._few_shot), torch.no_grad():
            batches = self._embed(clips, self.skeleton_)
            return torch.cat([search.nearest(batch, limits) for batch in batches]).numpy()

    def _thresholds(self) -> np.ndarray | None:
        return None if self.unknown is None else self.thresholds_

    def _logits(self, clips: Clips) -> Tensor:
        support, class_distances = self._fitted(), self._class_distances
        check_clips(clips)
        with evaluation_mode(self._few_shot), torch.no_grad():
            batches = self._embed(clips, self.skeleton_)
            n_way = len(self.classes_)
            logits = torch.cat([class_distances.logits(support, part, n_way) for part in batches])
        _refuse_nan(logits.masked_fill(logits.isinf(), 0), "a logit of clip", 0)
        return logits


def _refuse_nan(values: Tensor, what: str, first: int) -> None:
    """Refuse values ``[B, ...]`` of clips that are not finite."""
    broken = (~values.flatten(1).isfinite().all(dim=1)).nonzero()
    if len(broken):
        raise FloatingPointError(
            f"{what} {first + int(broken[0])} is NaN or infinite; look for a weight of the model "
            "that is NaN, or extreme values in the clip"
        )


def _not_fitted(message: str) -> ValueError:
    """scikit-learn's error where scikit-learn is loaded, so that its tools recognise it."""
    exceptions = sys.modules.get("sklearn.exceptions")
    return ValueError(message) if exceptions is None else exceptions.NotFittedError(message)


def _description(transform: Transform | None) -> str | None:
    """What a transform says of itself, without its place in memory, which is never the same."""
    return None if transform is None else re.sub(" at 0x[0-9a-fA-F]+", "", repr(transform))
