"""Running jobs: each result is written whole or not at all, and never computed twice."""

from __future__ import annotations

import contextlib
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import RLock, Thread, local
from typing import Any

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from pyg_fsar.reproduce.compute import compute
from pyg_fsar.reproduce.job import Job
from pyg_fsar.reproduce.sources import Place
from pyg_fsar.training import launch

__all__ = ["ENGINES", "Failure", "read_result", "result_path", "run_job", "run_jobs"]

LONGEST_REASON = 200


@dataclass(frozen=True)
class Failure:
    """A job that failed.

    Args:
        reason: Why, in one line.
        log: File with the whole story.

    Example:
        >>> Failure("no space left", Path("log.txt")).reason
        'no space left'
    """

    reason: str
    log: Path

    def __str__(self) -> str:
        return f"{self.reason}; see {self.log}"


# What an engine yields as jobs end: the job, and its failure if it failed.
Ended = Iterator[tuple[Job, Failure | None]]


def result_path(job: Job, place: Place) -> Path:
    """Where the result of a job is."""
    return place.out / "results" / f"{job.name}.json"


def read_result(job: Job, place: Place) -> dict[str, Any] | None:
    """The result of a job, if there is one.

    Raises:
        ValueError: If the file is damaged.
    """
    path = result_path(job, place)
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_bytes())
        if result["settings"] != job.settings or not result["accuracies"]:
            raise ValueError("it is of another job")
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error!s:.80}); delete it to compute it again"
        ) from error
    return result


def run_job(job: Job, place: Place, wait: bool = True) -> Failure | None:
    """Compute the result of a job, unless it is there.

    What is printed goes to a log in the job's folder, and so does the traceback of an error, which
    is not raised.

    Args:
        job: What to do.
        place: Where data lies and results go.
        wait: Wait while another process computes the same job.

    Raises:
        filelock.Timeout: If another process does, and ``wait`` is not set.
    """
    path, folder = result_path(job, place), _folder(job, place)
    folder.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    log = folder / "log.txt"
    fabric = launch(job.training)
    lock: Any = contextlib.nullcontext()
    if fabric.is_global_zero:  # which speaks for all ranks
        lock = FileLock(folder / "lock", timeout=-1 if wait or fabric.world_size > 1 else 0)
    with lock:
        if fabric.broadcast(path.is_file()):
            return None
        with log.open("a") as file, contextlib.redirect_stdout(file):
            print(f"{time.strftime('%F %T')} {job.name}\n{json.dumps(job.settings)}", flush=True)
            try:
                result = compute(job, place, folder, fabric)
            except Exception as error:
                traceback.print_exc(file=file)
                text = " ".join(str(error).split()) or type(error).__name__
                return Failure(text[:LONGEST_REASON], log)
            except KeyboardInterrupt:
                print("interrupted")
                raise
        if fabric.is_global_zero:
            unfinished = path.with_suffix(".json.part")
            unfinished.write_text(json.dumps(result))
            unfinished.replace(path)
        fabric.barrier()
    return None


def run_jobs(
    jobs: Sequence[Job], place: Place, engine: Callable[[Sequence[Job], Place], Ended] | None = None
) -> Ended:
    """Run jobs that have no result yet.

    Args:
        jobs: What to do, in this order.
        place: Where data lies and results go.
        engine: One of :data:`ENGINES` with its options; in this process, one after the other, if
            not given.

    Yields:
        Each job when it ends, with its failure if it failed.
    """
    todo = [job for job in dict.fromkeys(jobs) if not result_path(job, place).is_file()]
    if todo:
        yield from (engine or in_order)(todo, place)


def in_order(jobs: Sequence[Job], place: Place) -> Ended:
    """In this process, one after the other; what another process computes comes last."""
    waiting = []
    for job in jobs:
        try:
            yield job, run_job(job, place, wait=False)
        except Timeout:
            waiting.append(job)
    for job in waiting:
        yield job, run_job(job, place)


def in_processes(jobs: Sequence[Job], place: Place, count: int = 2) -> Ended:
    """In processes of this machine, which share its threads.

    A process that dies, such as for want of memory, fails one job. None outlives this process.

    Args:
        jobs: What to do.
        place: Where data lies and results go.
        count: Number of processes.
    """
    threads = max(1, (os.cpu_count() or 1) // count)
    mine = local()  # each thread of this process feeds one process
    context = get_context("spawn")
    ending, alive = context.Pipe(duplex=False)

    def run(job: Job) -> Failure | None:
        if getattr(mine, "pool", None) is None:
            mine.pool = ProcessPoolExecutor(1, context, _begin_process, (threads, ending))
        try:
            return mine.pool.submit(run_job, job, place).result()
        except BrokenProcessPool:
            mine.pool = None
            reason = "its process died, perhaps for want of memory"
            return Failure(reason, _folder(job, place) / "log.txt")

    # Progress bars of several processes would overwrite each other.
    with _environment(TQDM_DISABLE="1"), ThreadPoolExecutor(count) as feeders:
        futures = {feeders.submit(run, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            feeders.shutdown(wait=False, cancel_futures=True)
            alive.close()


def _begin_process(num_threads: int, ending: Connection) -> None:
    torch.set_num_threads(num_threads)
    # That of several processes is a semaphore, which a process that ends at once leaves behind.
    tqdm.set_lock(RLock())
    Thread(target=_end_with, args=(ending,), daemon=True).start()


def _end_with(ending: Connection) -> None:
    """End this process when the other end of a pipe is closed, as it is if its process is killed.

    A job loses no more than an epoch by it.
    """
    with contextlib.suppress(EOFError, OSError):
        ending.recv()
    os._exit(1)


def on_cluster(
    jobs: Sequence[Job], place: Place, cluster: str | None = None, **options: Any
) -> Ended:
    """By submitit: on a SLURM cluster, or in local processes without one.

    Jobs go on when this process ends, and are found done by the next.

    Args:
        jobs: What to do.
        place: Where data lies and results go; all machines must see it.
        cluster: ``"slurm"`` or ``"local"``; SLURM where it is installed if not given.
        **options: Parameters of submitit's executor, such as ``timeout_min``, ``mem_gb``,
            ``gpus_per_node``, ``slurm_partition``.

    Raises:
        ImportError: If submitit is missing.
        ValueError: If there is no such cluster, or an option is unknown or has no effect on it.
    """
    try:
        import submitit
    except ImportError as error:
        raise ImportError(
            "jobs on a cluster need submitit: pip install pyg-fsar[cluster]"
        ) from error
    try:
        executor = submitit.AutoExecutor(place.out / "submitit", cluster)
    except RuntimeError as error:
        raise ValueError(
            f"submitit finds no cluster here ({error!s:.200}); on one machine, pass --jobs instead "
            "of --engine"
        ) from error
    if executor.cluster != "slurm" and (idle := [n for n in options if n.startswith("slurm_")]):
        raise ValueError(
            f"{idle[0]}, which --jobs sets, too, has no effect without SLURM, where all jobs start "
            "at once; leave it out, or on one machine pass --jobs without --engine"
        )
    try:
        executor.update_parameters(**options)
    except (NameError, AssertionError, TypeError) as error:
        raise ValueError(f"submitit does not take these options: {error!s:.300}") from error
    with executor.batch():
        submitted = [executor.submit(run_job, job, place) for job in jobs]
    for job, handle in zip(jobs, submitted, strict=True):
        try:
            yield job, handle.result()
        except Exception as error:  # whatever the cluster reports
            text = " ".join(str(error).split())
            yield job, Failure(text[-LONGEST_REASON:], Path(handle.paths.stderr))


#: Ways to run jobs, by name: functions of jobs, a place, and options of their own. A further one is
#: a further line.
ENGINES: Mapping[str, Callable[..., Ended]] = {
    "order": in_order,
    "processes": in_processes,
    "submitit": on_cluster,
    "slurm": partial(on_cluster, cluster="slurm"),
}


def _folder(job: Job, place: Place) -> Path:
    return place.out / "runs" / job.name


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
