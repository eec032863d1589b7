"""What every matcher satisfies, and every cost with every aligner."""

import copy
import inspect
from functools import partial

import pytest
import torch

from pyg_fsar.matching import (
    COSTS,
    MATCHERS,
    SHOTS,
    Matcher,
    bimhm,
    build_matcher,
    diagonal,
    dtw,
    matcher_options,
    mhm,
    otam,
    soft_dtw,
    tcmhm,
)
from pyg_fsar.testing import assert_matcher

ALIGNERS = {
    "diagonal": diagonal,
    "dtw": dtw,
    "dtw in a band": partial(dtw, band=1),
    "soft_dtw": partial(soft_dtw, gamma=0.1),
    "soft_dtw in a band": partial(soft_dtw, gamma=0.1, band=1),
    "otam": otam,
    "mhm": mhm,
    "bimhm": bimhm,
    "tcmhm": tcmhm,
}
CHANNELS = 4

every_matcher = pytest.mark.parametrize("name", sorted(MATCHERS))
every_cost = pytest.mark.parametrize("cost", sorted(COSTS))
every_aligner = pytest.mark.parametrize("aligner", ALIGNERS)
every_shots = pytest.mark.parametrize("shots", sorted(SHOTS))


def sized(cost_class):
    """Options that fit a cost with parameters to the clips of these tests."""
    parameters = inspect.signature(cost_class).parameters
    return {"channels": CHANNELS} if "channels" in parameters else {}


def built(name, **options):
    """A matcher with those of the options that it has, of the size of these tests' clips."""
    known = matcher_options(name)
    options = {"channels": CHANNELS, **options}
    return build_matcher(name, **{k: v for k, v in options.items() if k in known}).double().eval()


@every_matcher
def test_empty_clips_are_refused_in_the_same_words(name):
    matcher, y = built(name, heads=1), torch.arange(2)
    for axis in (1, 2, 3):
        shape = [2, 5, 6, CHANNELS]
        shape[axis] = 0
        empty = torch.empty(shape, dtype=torch.float64)
        for support, query, role in ((empty, clips(2), "support"), (clips(2), empty, "query")):
            with pytest.raises(ValueError, match=f"{role} clips: .* at least one frame, joint"):
                matcher(support, y, query)
    with pytest.raises(ValueError, match="at least one support clip"):
        matcher(clips(0), y[:0], clips(2))
    assert matcher(clips(2), y, clips(0)).shape == (0, 2)


@every_matcher
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_spoil_their_own_logits(name, value):
    # None becomes a finite logit, which would name the query without a word.
    matcher, y = built(name, heads=1), torch.arange(2)
    support, query = clips(2), clips(3)
    expected = matcher(support, y, query)
    for broken_row in (0, -1):  # the last frame may be one that nothing follows
        broken = support.clone()
        broken[0, broken_row, 0, 0] = value
        logits = matcher(broken, y, query)
        assert not logits[:, 0].isfinite().any()
        if not getattr(matcher, "relative", False):
            torch.testing.assert_close(logits[:, 1], expected[:, 1])
        broken = query.clone()
        broken[1, broken_row, 0, 0] = value
        logits = matcher(support, y, broken)
        assert not logits[1].isfinite().any()
        torch.testing.assert_close(logits[[0, 2]], expected[[0, 2]])


def composed(cost, aligner, **options):
    matcher = Matcher(COSTS[cost](**sized(COSTS[cost])), ALIGNERS[aligner], **options)
    return matcher.double().eval()


def needs_one_length(cost, aligner):
    """Whether the two clips of a pair must be equally long."""
    return aligner == "diagonal" or COSTS[cost].same_length


def clips(count, frames=5):
    return torch.randn(count, frames, 6, CHANNELS, dtype=torch.float64)


@every_cost
@every_aligner
@every_shots
def test_every_cost_works_with_every_aligner(cost, aligner, shots):
    # Finite logits and gradients; independent queries; support clips and classes in any order;
    # and frames beyond the lengths without effect.
    matcher = composed(cost, aligner, shots=shots)
    any_length = not needs_one_length(cost, aligner)
    assert_matcher(matcher, num_joints=6, channels=CHANNELS, lengths=any_length)


@every_matcher
@every_shots
@pytest.mark.parametrize("divergence", [False, True])
def test_a_common_permutation_of_the_joints_changes_nothing(name, shots, divergence):
    matcher = built(name, shots=shots, divergence=divergence)
    support, query, support_y = clips(6), clips(4), torch.arange(3).repeat(2)
    order = torch.tensor([4, 0, 5, 1, 3, 2])
    torch.testing.assert_close(
        matcher(support[:, :, order], support_y, query[:, :, order]),
        matcher(support, support_y, query),
    )


@every_matcher
@every_shots
def test_a_query_is_scored_alone(name, shots):
    matcher = built(name, shots=shots, divergence=True)
    support, query, support_y = clips(6), clips(4), torch.arange(3).repeat(2)
    alone = [matcher(support, support_y, clip[None]) for clip in query]
    torch.testing.assert_close(torch.cat(alone), matcher(support, support_y, query))


@every_matcher
@every_shots
def test_support_clips_come_in_any_order_and_classes_have_any_number(name, shots):
    matcher = built(name, shots=shots, divergence=True)
    support, query, support_y = clips(6), clips(4), torch.tensor([0, 1, 1, 2, 1, 2])
    logits = matcher(support, support_y, query)
    order, number = torch.tensor([5, 2, 0, 3, 1, 4]), torch.tensor([1, 2, 0])
    torch.testing.assert_close(matcher(support[order], support_y[order], query), logits)
    torch.testing.assert_close(matcher(support, number[support_y], query)[:, number], logits)


@every_matcher
@every_shots
def test_gradients_are_finite_for_equal_and_empty_frames_too(name, shots):
    matcher = built(name, shots=shots, divergence=True, learn_scale=True)
    support, query = clips(6), clips(4)
    support[0] = query[0]
    support[1, 2] = support[2] = query[1] = query[2, 0] = 0
    support.requires_grad_()
    query.requires_grad_()
    logits = matcher(support, torch.arange(3).repeat(2), query)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    for part, tensor in [("support", support), ("query", query), *matcher.named_parameters()]:
        assert tensor.grad is not None and tensor.grad.isfinite().all(), part
        assert tensor.grad.any(), part


@every_cost
@every_aligner
@pytest.mark.parametrize("divergence", [False, True])
def test_ragged_clips_equal_trimmed_clips(cost, aligner, divergence):
    matcher = composed(cost, aligner, shots="average", divergence=divergence)
    support, query = clips(2), clips(3)
    n, m = torch.tensor([5, 1, 3]), torch.tensor([2, 5])
    if needs_one_length(cost, aligner):
        n, m = torch.full_like(n, 3), torch.full_like(m, 3)
    expected = [
        [
            matcher.distances(shot[None, :columns], torch.zeros(1).long(), clip[None, :rows])
            for shot, columns in zip(support, m, strict=True)
        ]
        for clip, rows in zip(query, n, strict=True)
    ]
    for clip, length in [*zip(query, n, strict=True), *zip(support, m, strict=True)]:
        clip[length:] = 1e3
    distances = matcher.distances(support, torch.arange(2), query, m, n)
    expected = torch.tensor([[value.item() for value in row] for row in expected]).to(distances)
    torch.testing.assert_close(distances, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["dtw", "soft_dtw", "ngm"])
def test_a_band_is_an_option_of_matchers_that_warp(name):
    support = clips(3)
    query = support.roll(2, dims=1)  # two frames late, which a band of one does not allow
    banded, free = built(name, band=1), built(name)
    banded.load_state_dict(free.state_dict())
    assert "band=1" in repr(banded) and "band=None" in repr(free)
    logits = banded(support, torch.arange(3), query)
    assert (logits.diag() < free(support, torch.arange(3), query).diag() - 0.1).all()
    lengths = torch.tensor([5, 2, 4]), torch.tensor([3, 5, 1])
    assert banded(support, torch.arange(3), query, *lengths).isfinite().all()


@pytest.mark.parametrize("name", ["protonet", "cosine", "otam", "bimhm"])
def test_other_matchers_have_no_band(name):
    with pytest.raises(TypeError, match=f"'{name}' has no option band"):
        build_matcher(name, band=1)


def compiled(matcher):
    torch.compiler.reset()
    return torch.compile(matcher, fullgraph=True, backend="eager")


@every_matcher
@pytest.mark.parametrize("shots", ["mean", "average"])
def test_compiles_whole_with_lengths(name, shots):
    matcher = built(name, shots=shots)
    support, query, support_y = clips(6), clips(4), torch.arange(3).repeat(2)
    inputs = support, support_y, query, torch.full((6,), 3), torch.full((4,), 3), 3
    torch.testing.assert_close(compiled(matcher)(*inputs), matcher(*inputs))


@every_matcher
@pytest.mark.parametrize("shots", ["mean", "average"])
def test_compiles_whole_without_the_number_of_classes(name, shots):
    matcher = built(name, shots=shots)
    inputs = clips(6), torch.arange(3).repeat(2), clips(4)
    if not matcher.compiles_with_n_way:
        torch.testing.assert_close(compiled(matcher)(*inputs), matcher(*inputs))
        return
    with pytest.raises(torch._dynamo.exc.Unsupported, match="give n_way=, the number of classes"):
        compiled(matcher)(*inputs)
    for n_way in (3, 2):  # the second time sizes are symbols
        inputs = clips(2 * n_way), torch.arange(n_way).repeat(2), clips(4)
        compiled_again = torch.compile(matcher, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled_again(*inputs, n_way=n_way), matcher(*inputs))


class OnlyLinear(torch.Tensor):
    """A weight in a format that only linear layers can read, as quantisation makes it."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ not in ("linear", "detach", "requires_grad_", "as_subclass", "__get__"):
            raise NotImplementedError(f"{func.__name__} of a quantised weight")
        out = super().__torch_function__(func, types, args, kwargs or {})
        return out.as_subclass(torch.Tensor) if func.__name__ == "linear" else out


def quantised_weights(matcher):
    matcher = copy.deepcopy(matcher)
    for module in matcher.modules():
        if isinstance(module, torch.nn.Linear):
            weight = module.weight.detach().as_subclass(OnlyLinear)
            module.weight = torch.nn.Parameter(weight, requires_grad=False)
    return matcher


def quantised_modules(matcher):
    return torch.ao.quantization.quantize_dynamic(matcher, dtype=torch.float16)


@every_matcher
@pytest.mark.parametrize("quantise", [quantised_weights, quantised_modules])
@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning")
def test_linear_layers_may_be_quantised(name, quantise):
    matcher = built(name).float()
    support, query, support_y = clips(6).float(), clips(4).float(), torch.arange(3).repeat(2)
    with torch.no_grad():
        logits = matcher(support, support_y, query)
        quantised = quantise(matcher)(support, support_y, query)
    torch.testing.assert_close(quantised, logits, rtol=1e-2, atol=1e-3)
