"""What all tests share: a cache of their own, one thread, no windows, and the embedded pictures."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from sevensteps.data.images import Splits

# `reliability` stands beside the tests and is not installed; last, so that what is tested is the installed package.
sys.path.append(str(Path(__file__).parent.parent))

# No word leaves the machine: neither from here nor from the programs that the tests start.
OFFLINE = Path(__file__).parent / "support/offline"
runpy.run_path(str(OFFLINE / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))

# Set before anything imports matplotlib, or torch: threads that wait give their core away, as in the command.
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Tests run side by side, a worker for each core: what they start takes no second one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Files and tests that are named begin sooner, and print what they say, without workers."""
    return 0 if all(".py" in name for name in config.args) else None


# How long an example takes says something about the machine, and nothing about what the test checks.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from the user's cache and settings, and let Ctrl-C through; programs they start inherit this.

    What a shell starts in the background ignores SIGINT, and so does all that it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEVENSTEPS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SEVENSTEPS_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        patch.delenv("SEVENSTEPS_MIRROR", raising=False)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The same numbers on every machine, and no fight over the cores between tests that run side by side."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """A test that draws from torch's global generator draws the same each time."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def splits() -> Splits:
    """The embedded pullovers and dresses: 12,000 to train on, 2,000 to test with."""
    # Here and not above: the option that checks shapes must be there before anything of ours is imported.
    from sevensteps.data.sources.load import load

    return load("pullover-dress")


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """As users run it: what the tests' check of annotations would refuse first reaches our own errors."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
