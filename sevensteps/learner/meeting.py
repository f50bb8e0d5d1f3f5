"""Where the processes of a training find each other: the store that they share, and the network that they use."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import torch.distributed as dist

from ..base.launched import Launched
from ..errors import TrainingError, UsageError

LOST = "lost process"  # the kind of the error for a process that has ended


_STORES: Any = dist  # whose types do not name them


# Nobody waits for so long: the leader may judge or decode for hours, and whoever dies is noticed at once.
FOREVER = datetime.timedelta(days=100)


# To find the leader: on this machine, and where machines start one by one. PyTorch tries twice for so long.
SECONDS_HERE, SECONDS_ELSEWHERE = 5, 300


ALONE = "If you started only this process, unset RANK and WORLD_SIZE."


_INTERFACE = "GLOO_SOCKET_IFNAME"  # the variable that names the network interface which gloo uses


_ADDRESS_OF = 0x8915  # SIOCGIFADDR of Linux


def refuse_in_use() -> None:
    """Raise if this process exchanges tensors with others already: PyTorch knows one group for that.

    Raises:
        UsageError: It says what to call.
    """
    if dist.is_initialized():
        raise UsageError(
            "This script has called torch.distributed.init_process_group, but several processes need a group of their "
            "own.",
            hint="Leave that call out, or call torch.distributed.destroy_process_group() before training.",
        )


def store_here(world: int) -> tuple[Any, int]:
    """Return a store that processes on this machine find each other by, and its port, on the loopback alone.

    Args:
        world: The number of processes.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = int(listening.getsockname()[1])
        how: dict[str, Any] = {"timeout": FOREVER, "wait_for_workers": False}
        store = _STORES.TCPStore("127.0.0.1", port, world, True, master_listen_fd=listening.detach(), **how)
    return _STORES.PrefixStore("sevensteps", store), port


def store_of_launcher(place: Launched) -> Any:
    """Return the store that the launcher's variables name.

    Args:
        place: Of this process.

    Raises:
        TrainingError: It cannot be reached.
    """
    seconds = SECONDS_HERE if place.local_world == place.world else SECONDS_ELSEWHERE
    try:
        store, _, _ = next(_STORES.rendezvous("env://", timeout=datetime.timedelta(seconds=seconds)))
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise TrainingError(
            f"Process 1 of {place.world} cannot be reached at {address} (MASTER_ADDR, MASTER_PORT).",
            hint=f"Start it, or correct the address. {ALONE}",
            kind=LOST,
        ) from error
    store.set_timeout(FOREVER)
    return _STORES.PrefixStore("sevensteps", store)


@contextlib.contextmanager
def interface_for(place: Launched) -> Iterator[None]:
    """Let gloo use the right network interface inside the block, unless the user has named one.

    On one machine, that is the loopback: no word leaves it. On several, it is the interface that reaches the leader.
    Gloo itself takes the address of this machine's name, which is often 127.0.1.1, where no other machine finds it.

    Args:
        place: Of this process.
    """
    if place.local_world == place.world:
        name = next((one for _, one in socket.if_nameindex() if one in ("lo", "lo0")), None)
    else:
        name = _interface_to(os.environ.get("MASTER_ADDR", ""))
    if _INTERFACE in os.environ or name is None:
        yield
        return
    os.environ[_INTERFACE] = name
    try:
        yield
    finally:
        del os.environ[_INTERFACE]


def _interface_to(address: str) -> str | None:
    """Return the name of the interface whose address others see when this machine calls an address.

    Args:
        address: Of the leader.

    Returns:
        None where it is not known: elsewhere than on Linux, with IPv6, and where the leader itself is told "localhost".
    """
    if sys.platform != "linux":
        return None
    import fcntl

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # which sends nothing
            own = probe.getsockname()[0]
            for _, name in socket.if_nameindex() if not own.startswith("127.") else ():
                with contextlib.suppress(OSError):  # it has no address
                    known = fcntl.ioctl(probe.fileno(), _ADDRESS_OF, struct.pack("256s", name.encode()[:15]))
                    if socket.inet_ntoa(known[20:24]) == own:
                        return name
    except OSError:  # a name that nobody knows, or no way there
        pass
    return None
