"""`Loader`: runs a batch builder in worker processes through PyTorch's DataLoader, and says clearly when one fails.

The DataLoader gets its own generator, so that iterating never touches the global random state.
"""

from __future__ import annotations

import itertools
import multiprocessing
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import FormatError, PvitError, UsageError
from pvit_data.loading import workers as worker_watch
from pvit_data.loading.build import Builder
from pvit_data.loading.options import Options, StartMethod
from pvit_data.loading.pixels import Pixels
from pvit_data.loading.transfer import Built

if TYPE_CHECKING:
    import torch

    from pvit_data.loading.batch import Batch

KEY_BYTES = 128
MIN_COUNTED = 1000
"""Samples below which the skipped share is not judged against the limit: it is taken of at least so many."""
MAX_REMEMBERED = 100


@dataclass(frozen=True)
class Endless:
    """The numbers from `start` on; unlike an `itertools.count`, it can be iterated again."""

    start: int

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start)


@dataclass(frozen=True)
class _Crash:
    """An unexpected exception in a worker, brought home as a value."""

    worker: int
    error: str
    trace: str


class Loader:
    """An iterable of batches; each iteration starts again at the first step.

    Attributes:
        skipped: unreadable samples so far, by source.
        problems: the first messages about them.
    """

    def __init__(
        self,
        builder: Builder,
        steps: Sequence[int] | Endless,
        config: ClipConfig,
        options: Options,
    ) -> None:
        self._builder, self._steps, self._config, self._options = builder, steps, config, options
        self._attempted = 0
        self._pixels = Pixels(config.mean, config.std)
        self.skipped: Counter[str] = Counter()
        self.problems: list[str] = []

    def __len__(self) -> int:
        if isinstance(self._steps, Endless):
            raise TypeError("this loader has no end; pass num_steps")
        return len(self._steps)

    def only(self, steps: Sequence[int]) -> Loader:
        """A loader of some of the batches, by their numbers."""
        return Loader(self._builder, steps, self._config, self._options)

    def __iter__(self) -> Iterator[Batch]:
        import torch

        board = torch.zeros((self._options.workers, KEY_BYTES), dtype=torch.uint8)
        if self._options.workers:
            board.share_memory_()  # type: ignore[no-untyped-call]
        ahead, steps = self._ahead()
        source = _Steps(self._builder, steps, board, self._begins_anew)
        batches = iter(self._data_loader(source))
        worker_watch.watch(batches)
        close = (
            worker_watch.close
        )  # held, because an iterator left open ends after its modules when Python exits
        try:
            for step in ahead:
                yield self._here(step).batch(self._pixels, self._options.device)
            for step in steps:
                yield self._take(batches, step, source).batch(self._pixels, self._options.device)
        finally:
            close(batches)
            self._builder.close()

    @property
    def _begins_anew(self) -> bool:
        """Whether workers share nothing with this process."""
        return self._options.workers > 0 and self._options.start_method != "fork"

    def _ahead(self) -> tuple[Sequence[int], Sequence[int] | Endless]:
        """The steps that this process builds while its workers begin, and all others.

        Forked workers are there at once; any others import PyTorch first, which takes seconds.
        """
        steps = self._steps
        if not self._begins_anew:
            return range(0), steps
        if isinstance(steps, Endless):
            return range(steps.start, steps.start + 1), Endless(steps.start + 1)
        return steps[:1], steps[1:]

    def _here(self, step: int) -> Built:
        import torch

        self._builder.foresee([step])
        built = self._builder.build(step, _forget)
        self._count(built)
        return (
            built.pin_memory() if self._options.pin_memory and torch.cuda.is_available() else built
        )

    def _take(self, batches: Any, step: int, source: _Steps) -> Built:
        try:
            built = worker_watch.next_batch(batches)
        except (RuntimeError, OSError, EOFError) as error:
            if not self._options.workers:
                raise
            raise worker_watch.failure(batches, error, step, source.keys()) from None
        if isinstance(built, _Crash):
            failure = PvitError(
                f"loader worker {built.worker} failed in batch {step} {built.error}"
            )
            failure.add_note(built.trace)
            raise failure
        if isinstance(built, PvitError):
            raise built
        assert isinstance(built, Built)
        self._count(built)
        return built

    def _data_loader(self, source: Any) -> Iterable[Any]:
        import torch
        from torch.utils.data import DataLoader

        workers = self._options.workers
        return DataLoader(
            source,
            batch_size=None,
            sampler=source.steps,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=self._options.pin_memory,
            timeout=self._options.timeout if workers else 0,
            worker_init_fn=worker_watch.start_worker,
            generator=torch.Generator().manual_seed(0),
            prefetch_factor=self._options.prefetch if workers else None,
            multiprocessing_context=_context(self._options.start_method) if workers else None,
        )

    def _count(self, built: Built) -> None:
        self._attempted += built.attempted
        for source, message in built.skipped:
            self.skipped[source] += 1
            if len(self.problems) < MAX_REMEMBERED:
                self.problems.append(message)
        total, limit = self.skipped.total(), self._options.max_corrupt
        if total > limit * max(self._attempted, MIN_COUNTED):
            raise FormatError(
                f"{total} of {self._attempted} samples cannot be read, more than the limit of {limit:.1%}; "
                f"run pvit-data validate; the last: {(built.skipped or [('', self.problems[-1])])[-1][1]}"
            )


def _context(start_method: StartMethod) -> BaseContext:
    try:
        context: BaseContext = multiprocessing.get_context(start_method)
    except ValueError:
        known = ", ".join(multiprocessing.get_all_start_methods())
        raise UsageError(
            f"start_method {start_method!r}: this system knows {known}; choose one of them"
        ) from None
    if start_method == "forkserver":  # which imports once what all workers need
        context.set_forkserver_preload(["torch.utils.data", __name__])
    return context


def _alone(error: PvitError) -> PvitError:
    """An error without what led to it, which some libraries pickle along, and which may not be picklable."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class _Steps:
    """The map-style dataset that the DataLoader sees: step number -> batch, or the error as a value."""

    def __init__(
        self, builder: Builder, steps: Sequence[int] | Endless, board: torch.Tensor, pack: bool
    ) -> None:
        self._builder, self.steps, self._board = builder, steps, board
        self._packed = _packed(builder) if pack else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_builder": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        builder = ForkingPickler.loads(state.pop("_packed").numpy().data)
        self.__dict__.update(state, _builder=builder)

    def __getitem__(self, step: int) -> Built | PvitError | _Crash:
        from torch.utils.data import get_worker_info

        info = get_worker_info()
        if info is None:
            self._builder.foresee(self._from(step, 1))
            return self._builder.build(step, _forget)
        try:
            self._builder.foresee(self._from(step, info.num_workers))
            return self._builder.build(step, lambda key: self._note(info.id, key))
        except PvitError as error:
            return _alone(error)
        except (
            Exception
        ) as error:  # any other one would lose its sample on the way to the main process
            where = f"on sample '{self.keys()[info.id]}': {type(error).__name__}: {error}"
            return _Crash(info.id, where, traceback.format_exc())

    def _from(self, step: int, stride: int) -> Iterable[int]:
        """The steps of this process: workers take turns."""
        if isinstance(self.steps, Endless):
            return itertools.count(step, stride)
        return self.steps[self.steps.index(step) :: stride]

    def _note(self, worker: int, key: str) -> None:
        import torch

        text = key.encode()[:KEY_BYTES].ljust(KEY_BYTES, b"\0")
        self._board[worker] = torch.frombuffer(bytearray(text), dtype=torch.uint8)

    def keys(self) -> list[str]:
        """The sample that each worker began last."""
        return [bytes(row.tolist()).rstrip(b"\0").decode(errors="replace") for row in self._board]


def _packed(builder: Builder) -> torch.Tensor:
    """What a worker that is not forked gets, in shared memory, where it waits until the worker has begun.

    The rows of a large mixture are more than a pipe takes: written into one, they would keep this process as long.
    """
    import torch

    text = torch.frombuffer(bytearray(ForkingPickler.dumps(builder)), dtype=torch.uint8)
    return text.share_memory_()  # type: ignore[no-any-return, no-untyped-call]


def _as_it_is(value: Any) -> Any:
    return value


def _forget(key: str) -> None:
    return None
