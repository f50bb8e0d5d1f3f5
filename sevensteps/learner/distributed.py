"""Several processes that compute one training together, on `torch.distributed`: gloo on the CPU, nccl on GPUs.

The first process leads. It does the whole job: it reads, trains, saves and judges. The others follow: they wait for an
order, which holds the training as it stands, and then take the same steps with their parts of each batch. What could
differ between processes, such as a stop rule or Ctrl-C, the leader decides alone: it leaves, and its next message says
so. No process waits for one that is dead: its connections are closed with it. One that is stopped is noticed by its
silence (heartbeat.py).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..base.launched import Launched
from ..base.one_thread import in_one_thread
from ..errors import SevenstepsError, TrainingError
from .heartbeat import LOOK, SILENT_AFTER, Heartbeat
from .meeting import ALONE, FOREVER, LOST, interface_for
from .shared_rows import SharedRows, joined, offered

# All are there and connect at the same moment. One that dies just then has no connection yet that would end with it.
TO_CONNECT = datetime.timedelta(seconds=15)


SECONDS_TO_COME = 300  # machines start one after the other, and import from slow disks


SECONDS_OF_SILENCE = 10  # until a process that waits for another to start says so


PAUSE = 0.02  # seconds between two looks for an order


SECONDS_FOR_WORD = 0.3  # until what a process that ends has left word of has arrived


_PART, _LEFT = 0, 1  # the first byte of a row


class LeaderLeftError(Exception):
    """The leader has left the training: its step is not wanted any more."""


class Processes:
    """The processes of a training as one of them sees them: a `steps.exchange.Team`.

    Args:
        place: Which of them this is.
        store: Where they find each other.
        lost: Says in words which process has ended, where that is known.
    """

    def __init__(self, place: Launched, store: Any, lost: Callable[[], str] = lambda: "") -> None:
        self.rank, self.world = place.rank, place.world
        self.place = place
        self._store, self._lost, self._orders, self._row = store, lost, 0, 0
        self.is_connected = self._trains = False
        self._asked_to_end = 0  # the rank of a process that was
        self._shared: SharedRows | None = None
        # A client of its own: one that waits for the others while they connect would hold back the signs.
        self.heartbeat = Heartbeat(self.rank, self.world, store.clone(), self._pass_on)

    def gather(self, mine: Tensor, every: Sequence[Tensor]) -> None:
        """Exchange a row of bytes; see `steps.exchange.Team`.

        Args:
            mine: What this process sends.
            every: Receives what each process sends, by rank.

        Raises:
            LeaderLeftError: The leader has left.
            TrainingError: Another process has ended.
        """
        with self._noticing():
            if self._shared is not None:
                self._shared.gather(mine, every)
            else:
                self._finish(dist.all_gather(list(every), mine, async_op=True), mine)
        if int(every[0][0]) == _LEFT:
            raise LeaderLeftError

    def tell(self, order: bytes) -> None:
        """Let the others begin; only the leader does.

        Args:
            order: What `hear` gives them.

        Raises:
            SevenstepsError: One of them failed before it could begin.
        """
        with self._noticing():
            self._store.set(f"order/{self._orders}", str(len(order)))
            self._orders += 1
            self._connect()
            content = torch.frombuffer(bytearray(order), dtype=torch.uint8)
            self._finish(dist.broadcast(content, 0, async_op=True), content)

    def hear(self) -> bytes | None:
        """Wait for the leader's next order.

        Returns:
            The order; None where there are no more.

        Raises:
            TrainingError: The leader has ended.
        """
        with self._noticing():
            self._store.set(f"here/{self.rank}", "")
            while not self._store.check([f"order/{self._orders}"]):
                if self._store.check(["end"]):
                    return None
                time.sleep(PAUSE)
            self._connect()
            content = torch.empty(int(self._store.get(f"order/{self._orders}")), dtype=torch.uint8)
            self._orders += 1
            self._finish(dist.broadcast(content, 0, async_op=True), content)
        return content.numpy().tobytes()

    def begin(self, size: int, device: torch.device) -> None:
        """Wait until all processes are ready to train.

        Args:
            size: The number of bytes that each sends for a batch.
            device: Where the model is.

        Raises:
            TrainingError: The processes have different models.
            SevenstepsError: One of them has failed.
        """
        facts = [torch.zeros(2, dtype=torch.int64) for _ in range(self.world)]
        with self._noticing():
            self._finish(dist.all_gather(facts, mine := torch.tensor([size, rounding()]), async_op=True), mine)
        sizes, roundings = ({int(each[place]) for each in facts} for place in (0, 1))
        if len(sizes) > 1:
            raise TrainingError(
                "The processes have built different models.", hint="Install the same versions everywhere."
            )
        if len(roundings) > 1 and not self.rank and not self._row:  # once
            warnings.warn(
                "The processes have different kinds of CPU or versions of PyTorch, which round differently. The result "
                "will differ a little from that of one process.",
                stacklevel=2,
            )
        if self._shared is not None:
            self._shared.close()
        with self._noticing():
            is_here = device.type == "cpu" and self.place.local_world == self.world
            self._shared = self._rows_here(size) if is_here else None
        self._row, self._device, self._trains = size, device, True

    def leave(self) -> None:
        """End the training under way: the leader says so, and a process without a step to take waits for it.

        Raises:
            TrainingError: Another process has ended.
        """
        self._trains = False
        mine = torch.zeros(self._row, dtype=torch.uint8, device=self._device)
        mine[0] = _PART if self.rank else _LEFT
        with contextlib.suppress(LeaderLeftError):
            self.gather(mine, [torch.empty_like(mine) for _ in range(self.world)])

    def end(self) -> None:
        """Let the others end; only the leader does."""
        self.heartbeat.end()
        if self._shared is not None:
            self._shared.close()
        with contextlib.suppress(RuntimeError):
            self._store.set("end", "")
            if self.is_connected:
                dist.destroy_process_group()
                self.is_connected = False

    def _rows_here(self, size: int) -> SharedRows | None:
        """Return rows in memory that all processes share; None where one of them cannot: gloo exchanges them then."""
        key, shared = f"rows/{self._orders}", None
        with contextlib.suppress(OSError):
            if self.rank:
                shared = joined(self.rank, self.world, size, self._store.get(key).decode())
            else:
                shared = offered(self.world, size, lambda said: self._store.set(key, said))
        able = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        self._finish(dist.all_gather(able, mine := torch.tensor([int(shared is not None)]), async_op=True), mine)
        if shared is None or not all(map(int, able)):
            return None
        return SharedRows(self.rank, self.world, *shared, self._refuse_silent)

    def say_failed(self, error: SevenstepsError) -> None:
        """Leave word of why this process ends, for the leader to report.

        Args:
            error: The reason.
        """
        facts = {"code": error.code, "message": error.message, "hint": error.hint, "kind": error.kind}
        with contextlib.suppress(RuntimeError):
            self._store.set(f"failed/{self.rank}", json.dumps(facts))

    def _finish(self, work: Any, sent: Tensor) -> None:
        """Wait for an exchange, and look now and then whether one of the processes is silent.

        Raises:
            RuntimeError: A connection is closed.
            TrainingError: A process is silent, or was asked to end.
        """
        if sent.is_cuda:  # where a wait has no limit, and only puts itself in the GPU's queue
            work.wait()
            return
        while True:
            try:
                work.wait(datetime.timedelta(seconds=LOOK))
            except RuntimeError:
                if work.is_completed():  # by now, or with an error, which it raises again
                    work.wait()
                    return
                self._refuse_silent()
            else:
                return

    def _refuse_silent(self) -> None:
        """Raise if this process leads, and another is silent or was asked to end."""
        if self.rank:  # which another thread watches
            return
        if self._asked_to_end:
            what = f"Process {self._asked_to_end + 1} of {self.world} was asked to end (SIGTERM)."
            raise TrainingError(what, kind=LOST)
        if (silent := self.heartbeat.silent()) is not None:
            what = f"Process {silent + 1} of {self.world} has not answered for {SILENT_AFTER:.0f} seconds"
            raise TrainingError(f"{what}: it was stopped, or its network failed.", kind=LOST)

    def _pass_on(self, rank: int) -> None:
        """End as if this process itself had been asked to, since another was, and the training needs it."""
        if not self._trains:  # or no more
            return
        if signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, signal.SIG_IGN, None):
            self._asked_to_end = rank
        else:
            signal.raise_signal(signal.SIGTERM)

    def _connect(self) -> None:
        """Connect the processes, once the leader has something for them to do."""
        if self.is_connected:
            return
        others = range(1, self.world)
        since, is_told = time.monotonic(), False
        while not self.rank and (missing := [rank for rank in others if not self._store.check([f"here/{rank}"])]):
            self._refuse_failed()
            self._refuse_silent()
            if time.monotonic() - since > SECONDS_TO_COME:
                message = f"Process {missing[0] + 1} of {self.world} has not started after {SECONDS_TO_COME} seconds."
                raise TrainingError(message, hint=f"Look at what it printed. {ALONE}")
            if not is_told and time.monotonic() - since > SECONDS_OF_SILENCE:
                is_told = True
                what = f"Waiting for process {missing[0] + 1} of {self.world}, for {SECONDS_TO_COME} seconds at most."
                warnings.warn(f"{what} {ALONE}", stacklevel=2)
            time.sleep(PAUSE)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        with interface_for(self.place):
            how: dict[str, Any] = {"rank": self.rank, "world_size": self.world}
            try:
                dist.init_process_group(backend, store=self._store, timeout=TO_CONNECT, **how)
            except BaseException:
                dist.distributed_c10d._world.group_count = 0  # else the next group here has another name than there
                raise
        dist.distributed_c10d._set_pg_timeout(FOREVER)
        self.is_connected = True

    def _refuse_failed(self) -> None:
        """Raise if a process has said why it ended, or is known to have ended."""
        for rank in range(self.world):
            if self._store.check([f"failed/{rank}"]):
                facts = json.loads(self._store.get(f"failed/{rank}"))
                raise _error_of(facts)
        if lost := self._lost():
            raise TrainingError(lost, kind=LOST)

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        """Turn an error of the connection into one in words."""
        try:
            yield
        except SevenstepsError:
            raise
        except RuntimeError as error:
            if not self.rank:
                time.sleep(SECONDS_FOR_WORD)
                try:
                    self._refuse_failed()
                except SevenstepsError:
                    raise
                except RuntimeError:  # the launcher's store has ended, too
                    pass
            what = "The process that leads this training" if self.rank else "A process of this training"
            raise TrainingError(f"{what} has ended, or cannot be reached.", kind=LOST) from error


_CURRENT: list[Processes] = []


def current() -> Processes | None:
    """Return the processes that this one leads; None where it is alone."""
    return _CURRENT[-1] if _CURRENT else None


@contextlib.contextmanager
def leading(processes: Processes) -> Iterator[None]:
    """Let trainings inside the block be computed by several processes.

    Args:
        processes: The processes.
    """
    _CURRENT.append(processes)
    try:
        yield
    finally:
        _CURRENT.remove(processes)


def rounding() -> int:
    """Return a number that differs between processes whose CPU or PyTorch rounds differently.

    Returns:
        63 bits of a digest of a few small computations of step 2 to 5.
    """
    values = torch.arange(1, 4097, dtype=torch.float32).div_(997).sin_().reshape(64, 64)
    product = in_one_thread(lambda: values @ values)
    pictures, kernels = values.reshape(4, 1, 32, 32), values[:16, :9].reshape(16, 1, 3, 3)
    maps = in_one_thread(lambda: torch.nn.functional.conv2d(pictures, kernels))
    results = (product, maps, product.softmax(1), maps.exp(), torch.addcdiv(values, product, values.abs() + 1e-3))
    digest = hashlib.sha256(b"".join(each.contiguous().numpy().tobytes() for each in results)).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _error_of(facts: dict[str, str]) -> SevenstepsError:
    """Return the error that another process has left word of."""
    waiting: list[type[SevenstepsError]] = [SevenstepsError]
    kind = SevenstepsError
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        kind = one if one.code == facts["code"] else kind
    return kind(facts["message"], hint=facts["hint"], kind=facts["kind"])
