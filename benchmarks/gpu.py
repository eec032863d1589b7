"""Everything that is only known to work on a GPU once it has run on one: equality, then times.

    python benchmarks/gpu.py                          # on a GPU, under 8 minutes
    python benchmarks/gpu.py --device cpu --small     # the same script in small, in CI

Each check compares a path on the device with float64 on the CPU in plain torch, and gives the
largest relative difference. Then it says whether a training step makes the host wait for the
device, and how long steps and alignments take. The last line counts what failed, and the exit
status is 1 if anything did.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pyg_fsar import FewShotModel
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.kernels import backend_for, use_backend
from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.matching import ActivatedCost, build_matcher, dtw, otam, soft_alignment, soft_dtw
from pyg_fsar.nn import BACKBONES, RANK_METHODS, STGCN, RankMax
from pyg_fsar.training import TrainingOptions, clip_transform, episode_loss, evaluate, fit

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="small sizes, for CI")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, warping by {chosen_backend(options.device)}")
    checks = [*alignments(options), *layers(options), *training(options), *times(options)]
    failed = 0
    for label, check in checks:
        start = time.perf_counter()
        try:
            outcome = check()
        except Exception as error:  # the rest is still of interest
            failed += 1
            traceback.print_exc(limit=-4)
            outcome = f"FAILED: {type(error).__name__}: {str(error).splitlines()[0][:160]}"
        print(f"| {label:44} | {outcome:60} | {time.perf_counter() - start:6.1f} s |", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


Check = tuple[str, Callable[[], str]]


# equality: alignments


def chosen_backend(device: str) -> str:
    return backend_for(torch.zeros(1, 2, 2, device=device))


def alignments(options: argparse.Namespace) -> Iterator[Check]:
    """Values and gradients with ragged lengths and bands, to the longest clips."""
    aligners: dict[str, Callable[..., Tensor]] = {
        "soft-DTW": lambda cost, **o: soft_dtw(cost, 0.1, **o),
        "soft-DTW, gamma 0.001": lambda cost, **o: soft_dtw(cost, 0.001, **o),
        "soft alignment": lambda cost, **o: soft_alignment(cost.detach(), 0.1, **o).square() * cost,
        "DTW": dtw,
        "OTAM": otam,
    }
    for frames in (7, 64) if options.small else (7, 30, 256, 1024):
        for name, aligner in aligners.items():
            for band in (None, frames // 8):
                if band is None or name != "OTAM":
                    label = f"{name}, {frames} frames" + (f", band {band}" if band else "")
                    yield label, lambda a=aligner, f=frames, b=band: alignment(a, f, b, options)


def alignment(
    aligner: Callable[..., Tensor], frames: int, band: int | None, options: argparse.Namespace
) -> str:
    pairs = 4 if frames > 256 else 24
    cost = torch.rand(pairs, frames, frames + 3, dtype=torch.float64)
    lengths = tuple(torch.randint(max(2, n // 2), n + 1, (pairs,)) for n in cost.shape[1:])
    further: dict[str, Any] = {} if band is None else {"band": band}
    results = []
    for device, dtype in (("cpu", torch.float64), (options.device, torch.float32)):
        given = cost.to(device, dtype).requires_grad_()
        backend = use_backend("vectorised") if device == "cpu" and dtype == torch.float64 else None
        with backend or contextlib.nullcontext():
            sized = tuple(length.to(device) for length in lengths)
            value = aligner(given, lengths=sized, **further)
            (grad,) = torch.autograd.grad(value.sum(), given)
        results.append((value.detach(), grad))
    return compared(*results)


# equality: layers and encoders


def layers(options: argparse.Namespace) -> Iterator[Check]:
    """Costs, regularisers and encoders, forward and backward."""
    channels = 16 if options.small else 64
    for inner in ("cosine", "euclidean"):
        matcher = build_matcher("dastm", cost=inner, channels=channels, dropout=0.0)
        clips = torch.randn(9, 6, 25, channels)
        yield (
            f"spatial activation, {inner} cost",
            lambda c=matcher.cost, x=clips: module_agrees(c, options, x[:6], x[6:]),
        )
    chunked = ActivatedCost(channels, dropout=0.0, chunk_size=2)
    clips = torch.randn(9, 6, 25, channels)
    yield (
        "spatial activation in chunks",
        lambda: module_agrees(chunked, options, clips[:6], clips[6:]),
    )
    for method in RANK_METHODS:
        x = torch.randn(4, 3, 25, 32)
        yield f"RankMax, {method}", lambda m=method, x=x: module_agrees(RankMax(m), options, x)
    for name, backbone in BACKBONES.items():
        x = torch.randn(2, 12, 25, 3)
        # In float64: of two values nearly alike, rounding decides which one gets the gradient.
        yield (
            f"encoder {name}",
            lambda b=backbone, x=x: module_agrees(b("ntu25"), options, x, dtype=torch.float64),
        )


def module_agrees(
    module: nn.Module,
    options: argparse.Namespace,
    *inputs: Tensor,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Compare output and gradients of a module without dropout, in training mode."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    exact, ours = copy.deepcopy(module).double(), module.to(options.device, dtype)
    results = []
    for part, device, kind, backend in (
        (exact, "cpu", torch.float64, use_backend("vectorised")),
        (ours, options.device, dtype, contextlib.nullcontext()),
    ):
        given = [x.to(device, kind).requires_grad_() for x in inputs]
        with backend:
            out = part(*given)
            weights = torch.linspace(0.5, 1.5, out.numel(), device=device, dtype=kind)
            (out.flatten() * weights).mean().backward()
        grads = [x.grad for x in given] + [p.grad for p in part.parameters()]
        results.append([out.detach(), *(g for g in grads if g is not None)])
    return compared(*results, tolerance=5e-3 if dtype == torch.float32 else 1e-6)


def compared(exact: Any, ours: Any, tolerance: float = 2e-3) -> str:
    """Largest difference relative to the largest entry of each tensor.

    Raises:
        AssertionError: If it is above the tolerance, or anything is not finite.
    """
    worst, largest = 0.0, max(float(expected.abs().max()) for expected in exact[1:])
    for expected, actual in zip(exact, ours, strict=True):
        actual = actual.cpu().double()
        assert actual.isfinite().all(), "not finite"
        # A gradient that is zero in exact arithmetic, such as of a bias before a norm, is rounding.
        scale = max(float(expected.abs().max()), 1e-2 * largest)
        worst = max(worst, float((actual - expected).abs().max()) / scale)
    assert worst <= tolerance, f"differs by {worst:.1e}"
    return f"differs by {worst:.1e}"


# training steps


def training(options: argparse.Namespace) -> Iterator[Check]:
    """Whole runs in every precision, compiled, resumed, and without waiting for the device."""
    precisions = ["32-true", "bf16-mixed"] + ["16-mixed"] * (options.device == "cuda")
    for precision in precisions:
        yield f"two epochs, {precision}", lambda p=precision: trains(p, options)
    yield "a resumed run equals a whole one", lambda: resumes(options)
    yield "a compiled step equals a plain one", lambda: compiles(options)
    yield "a step without waiting for the device", lambda: waits(options)


def data(split: str, options: argparse.Namespace) -> FakeSkeletonDataset:
    transform = clip_transform(12 if options.small else 30, train=split == "train")
    return FakeSkeletonDataset("ntu25", split=split, clips_per_class=12, transform=transform)


def model(options: argparse.Namespace, **arguments: Any) -> FewShotModel:
    torch.manual_seed(0)
    blocks = 2 if options.small else 4
    encoder = STGCN("ntu25", num_blocks=blocks, kernel_size=3)
    matcher = build_matcher("dastm", channels=encoder.out_channels, **arguments)
    return FewShotModel(encoder, matcher, RankMax())


def launched(options: argparse.Namespace, precision: str = "32-true") -> Fabric:
    fabric = Fabric(accelerator=options.device, devices=1, precision=precision)
    fabric.launch()
    return fabric


def plan(options: argparse.Namespace, **changes: Any) -> TrainingOptions:
    episodes = 4 if options.small else 20
    usual = {"n_way": 3, "n_query": 3, "epochs": 2, "val_episodes": 10, "patience": 0}
    return TrainingOptions(**{**usual, "train_episodes": episodes, **changes})


def trains(precision: str, options: argparse.Namespace) -> str:
    fabric, few_shot = launched(options, precision), model(options)
    parts = data("train", options), data("val", options)
    with tempfile.TemporaryDirectory() as folder:
        history = fit(fabric, few_shot, *parts, plan(options, precision=precision), folder)
    exact = evaluate(few_shot.cpu().float(), parts[1], 3, 1, 3, 20)
    ours = evaluate(few_shot, parts[1], 3, 1, 3, 20, fabric=fabric)
    gap = float((ours.losses - exact.losses).abs().max() / exact.losses.abs().max())
    assert gap < (1e-3 if precision == "32-true" else 0.1), f"evaluation differs by {gap:.1e}"
    first, last = history[0]["train_loss"], history[-1]["train_loss"]
    return f"loss {first:.3f} to {last:.3f}, evaluation differs by {gap:.1e}"


def resumes(options: argparse.Namespace) -> str:
    parts, losses = (data("train", options), data("val", options)), []
    with tempfile.TemporaryDirectory() as folder:
        for name, epochs in (("whole", (2,)), ("broken", (1, 2))):
            for part, until in enumerate(epochs):
                given = plan(options, epochs=until, resume=part > 0, scheduler="none")
                history = fit(launched(options), model(options), *parts, given, f"{folder}/{name}")
            losses.append(history[-1]["train_loss"])
    gap = abs(losses[0] - losses[1]) / abs(losses[0])
    # Kernels that add up atomically do not repeat to the last bit.
    assert gap < (1e-5 if options.device == "cpu" else 1e-3), f"differs by {gap:.1e}"
    return f"differs by {gap:.1e}"


def compiles(options: argparse.Namespace) -> str:
    few_shot = model(options, dropout=0.0).to(options.device).eval()
    (episode,) = EpisodeLoader(data("train", options), 3, 1, 3, num_episodes=1)
    episode = episode.to(options.device)
    backend = "inductor" if options.device == "cuda" else "aot_eager"
    results = []
    for step in (episode_loss, torch.compile(episode_loss, backend=backend)):
        few_shot.zero_grad()
        loss, _ = step(few_shot, episode)
        loss.backward()
        grads = [p.grad.clone() for p in few_shot.parameters() if p.grad is not None]
        results.append([loss.detach().cpu().double(), *(g.cpu().double() for g in grads)])
    return compared(*results)


def waits(options: argparse.Namespace) -> str:
    if options.device != "cuda":
        return "only a GPU can tell"
    few_shot = model(options).to(options.device)
    optimizer = torch.optim.Adam(few_shot.parameters(), fused=True)
    (episode,) = EpisodeLoader(data("train", options), 3, 1, 3, num_episodes=1, pin_memory=True)
    step = training_step(few_shot, episode.to(options.device, non_blocking=True), optimizer)
    step()  # compiles and allocates
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


def training_step(few_shot: FewShotModel, episode: Any, optimizer: Any) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        loss, _ = episode_loss(few_shot, episode)
        loss.backward()
        optimizer.step()

    return step


# times


def times(options: argparse.Namespace) -> Iterator[Check]:
    """Steps, alignments beside other packages, and the example from end to end."""
    for precision in ("float32", "bfloat16"):
        yield f"step of the full method, {precision}", lambda p=precision: step_time(p, options)
    yield "alignments beside other packages", lambda: alignment_times(options)
    yield "examples/ntu_fewshot.py", lambda: example(options)


def step_time(precision: str, options: argparse.Namespace) -> str:
    torch.manual_seed(0)
    encoder = STGCN("ntu25", num_blocks=4 if options.small else 10)
    few_shot = FewShotModel(encoder, build_matcher("dastm"), RankMax()).to(options.device)
    optimizer = torch.optim.Adam(few_shot.parameters(), fused=True)
    episode = next(iter(EpisodeLoader(data("train", options), 5, 1, 5, num_episodes=1)))
    step = training_step(few_shot, episode.to(options.device), optimizer)
    half = precision == "bfloat16"
    seconds = []
    for _ in range(3 if options.small else 23):
        synchronise(options)
        start = time.perf_counter()
        with torch.autocast(options.device, torch.bfloat16, enabled=half):
            step()
        synchronise(options)
        seconds.append(time.perf_counter() - start)
    seconds = sorted(seconds[1 if options.small else 3 :])
    memory = ""
    if options.device == "cuda":
        memory = f", {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB at most"
    return (
        f"median {1e3 * seconds[len(seconds) // 2]:.1f} ms "
        f"({1e3 * seconds[0]:.1f} to {1e3 * seconds[-1]:.1f}){memory}"
    )


def synchronise(options: argparse.Namespace) -> None:
    if options.device == "cuda":
        torch.cuda.synchronize()


def alignment_times(options: argparse.Namespace) -> str:
    if options.device != "cuda":
        return "see benchmarks/alignment.py"
    return run("benchmarks/alignment.py", "--device", "cuda", "--frames", "30")


def example(options: argparse.Namespace) -> str:
    sizes = {
        "epochs": 1,
        "train-episodes": 2,
        "val-episodes": 5,
        "test-episodes": 5,
        "test-runs": 1,
    }
    if not options.small:
        sizes = {"epochs": 2, "train-episodes": 100, "val-episodes": 100, "test-episodes": 200}
    with tempfile.TemporaryDirectory() as folder:
        arguments = [text for name, size in sizes.items() for text in (f"--{name}", str(size))]
        arguments += [
            "--test-runs",
            "1",
            "--accelerator",
            options.device,
            "--out",
            folder,
            "--matcher",
            "dastm",
        ]
        if options.small:
            arguments += ["--blocks", "2", "--num-frames", "8", "--n-query", "2"]
        return run("examples/ntu_fewshot.py", *arguments)


def run(script: str, *arguments: str) -> str:
    """Run a script of the repository and print what it prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{script} failed: {done.stderr.strip().splitlines()[-1:]}")
    lines = done.stdout.strip().splitlines()
    print("\n".join(lines))
    return "printed above"


if __name__ == "__main__":
    main()
