"""Rows of bytes that processes on one machine exchange by memory that they share, in place of messages over a network.

Each process writes its row, and then the number of the batch whose row it is. Sockets only wake the others: the leader
waits for all rows, and then lets all go on. A socket whose other end is closed says that a process has died. There are
two rows for each process, so that one may be written while others still read the one before. On Linux only.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import select
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

LOOK = 1.0  # seconds between two looks at whether the others are alive


TO_MEET = 15.0  # seconds: all are there


_PEER = struct.Struct("3i")  # process, user and group at the other end of a socket


_RANK = struct.Struct("<H")


class SharedRows:
    """The rows of one training.

    Args:
        rank: Of this process.
        world: The number of processes.
        memory: What all of them have mapped.
        wakers: Sockets: the leader has one to each of the others, and they have one to the leader.
        look: Called now and then while this process waits.
    """

    def __init__(
        self, rank: int, world: int, memory: mmap.mmap, wakers: Mapping[int, socket.socket], look: Callable[[], None]
    ) -> None:
        self._rank, self._world, self._look, self._wakers = rank, world, look, wakers
        self._polls = {other: select.poll() for other in wakers}
        for other, waker in wakers.items():
            waker.setblocking(False)
            self._polls[other].register(waker, select.POLLIN)
        # Of which batch each row is, and up to which the leader lets all go on.
        self._numbers = torch.frombuffer(memory, dtype=torch.int64, count=world + 1).numpy()
        self._rows = torch.frombuffer(memory, dtype=torch.uint8, offset=_numbers_size(world)).view(2, world, -1)
        self._batch = 0

    def gather(self, mine: Tensor, every: Sequence[Tensor]) -> None:
        """Exchange a row of bytes; see `steps.exchange.Team`.

        Args:
            mine: What this process sends.
            every: Receives what each process sends, by rank.

        Raises:
            RuntimeError: Another process has ended.
        """
        self._wait()  # for a batch before, where Ctrl-C broke off the waiting
        self._batch += 1
        rows = self._rows[self._batch % 2]
        rows[self._rank] = mine
        self._numbers[self._rank] = self._batch
        if self._rank:
            self._wake(0)
        self._wait()
        for row, into in zip(rows, every, strict=True):
            into.copy_(row)

    def close(self) -> None:
        """Close the sockets: a process that waits at the other end is told so."""
        for waker in self._wakers.values():
            waker.close()

    def _wait(self) -> None:
        """Wait until the rows of all processes are there."""
        if self._rank:
            while self._numbers[self._world] < self._batch:
                self._sleep(0)
            return
        for rank in range(1, self._world):
            while self._numbers[rank] < self._batch:
                self._sleep(rank)
        if self._numbers[self._world] < self._batch:
            self._numbers[self._world] = self._batch
            for rank in range(1, self._world):
                self._wake(rank)

    def _wake(self, rank: int) -> None:
        """Wake a process. One that has not looked for long needs no more; one that has died is noticed by waiting."""
        with contextlib.suppress(OSError):
            self._wakers[rank].send(b"!")

    def _sleep(self, rank: int) -> None:
        """Wait until a process wakes this one, or for a moment."""
        if not self._polls[rank].poll(LOOK * 1000):
            self._look()
            return
        try:
            if not self._wakers[rank].recv(4096):
                raise RuntimeError(f"Process {rank} has closed its connection")
        except OSError as error:
            raise RuntimeError(f"Process {rank} cannot be reached") from error


Shared = tuple[mmap.mmap, dict[int, socket.socket]]


def offered(world: int, size: int, publish: Callable[[str], None]) -> Shared:
    """Make memory for the rows of a training, and wait until the others have mapped it; for the leader.

    Args:
        world: The number of processes.
        size: The number of bytes of a row.
        publish: Tells the others what `joined` needs; called once, also where nothing can be shared.

    Returns:
        The memory, and a socket to each of the others.

    Raises:
        OSError: It cannot be shared here.
    """
    name = f"sevensteps-{secrets.token_hex(16)}"
    wakers: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        try:
            if sys.platform != "linux":
                raise OSError("only Linux has files in memory")
            file = os.memfd_create("sevensteps")
            stack.callback(os.close, file)
            os.ftruncate(file, total := _total(world, size))
            memory = mmap.mmap(file, total)
            listening = stack.enter_context(_connection())
            listening.bind("\0" + name)  # which is in no folder, so nothing is left
            listening.listen(world)
        except OSError:
            publish("")
            raise
        publish(name)
        while len(wakers) < world - 1:
            found, _ = listening.accept()
            found.settimeout(TO_MEET)
            _refuse_stranger(found)
            socket.send_fds(found, [b"memory"], [file])
            if len(told := found.recv(_RANK.size)) < _RANK.size:
                raise OSError("a process cannot map the memory")
            wakers[_RANK.unpack(told)[0]] = found
    return memory, wakers


def joined(rank: int, world: int, size: int, name: str) -> Shared:
    """Map the memory that the leader has made.

    Args:
        rank: Of this process.
        world: The number of processes.
        size: The number of bytes of a row.
        name: What the leader has published.

    Returns:
        The memory, and a socket to the leader.

    Raises:
        OSError: It cannot be shared here.
    """
    if not name:
        raise OSError("the leader has no memory to share")
    with contextlib.ExitStack() as stack:
        waker = stack.enter_context(_connection())
        waker.connect("\0" + name)
        _refuse_stranger(waker)
        _, files, _, _ = socket.recv_fds(waker, len(b"memory"), 1)
        if not files:
            raise OSError("the leader has sent no memory")
        try:
            memory = mmap.mmap(files[0], _total(world, size))
        finally:
            os.close(files[0])
        waker.sendall(_RANK.pack(rank))
        stack.pop_all()  # the socket stays open
    return memory, {0: waker}


def _total(world: int, size: int) -> int:
    """Return the number of bytes of the memory: numbers, and two rows for each process."""
    return _numbers_size(world) + 2 * world * size


def _numbers_size(world: int) -> int:
    """Return the number of bytes of the numbers: one for each process, and one for the leader's word."""
    return 8 * (world + 1)


def _connection() -> socket.socket:
    """Return a socket on this machine."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(TO_MEET)
    return made


def _refuse_stranger(connection: socket.socket) -> None:
    """Raise if another user is at the other end."""
    _, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user != os.getuid():
        raise OSError("another user's process has connected")
