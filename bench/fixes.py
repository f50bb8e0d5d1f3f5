"""Try every fix that the doctor proposes as a command, and show whether it lowers the validation loss.

python bench/fixes.py [--seeds N] [--json]

Each fault of bench/faults.py is trained to its end, and trained again as the doctor's finding says. A fix that changes
code (another layer, other pictures) is not tried here: there is no command for it. Nor is one that changes the loss,
which then cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from faults import FAULTS, Case, healthy, pictures
from machine import describe

from sevensteps.records.events import Epoch, Finding
from sevensteps.trust.doctor.doctor import Doctor


@dataclass(frozen=True)
class Row:
    """A fix, how often it lowered the validation loss, and the loss before and after in the middle run."""

    fault: str
    model: str
    fix: str
    lower: int
    runs: int
    before: float
    after: float


def with_rate(case: Case, finding: Finding) -> Case:
    """Train at the rate that the finding names."""
    (rate,) = re.findall(r"--lr ([^\s)]+)", str((finding.evidence or {})["flags"]))
    return replace(case, recipe=case.recipe.replace(lr=float(rate)))


def setting(**settings: object) -> Callable[[Case, Finding], Case]:
    """Train with other settings."""
    return lambda case, finding: replace(case, recipe=case.recipe.replace(**settings))


def longer(case: Case, finding: Finding) -> Case:
    """Train again for as many epochs as the finding names."""
    return replace(case, recipe=case.recipe.replace(epochs=3 * max(finding.epoch, 2)))


def resumed(case: Case, finding: Finding) -> Case:
    """Go on for as many epochs as the finding names: a new cycle of the schedule."""
    more = case.recipe.epochs + max(finding.epoch, 5)
    return replace(case, recipe=case.recipe.replace(epochs=more, schedule_restarts=str(case.recipe.epochs)))


def initialized(case: Case, finding: Finding) -> Case:
    """Start with kaiming."""
    recipe = case.recipe.replace(init="kaiming", init_std=1.0)
    return replace(case, recipe=recipe, settings={**case.settings, "init": "kaiming"})


KEPT = setting(keep="best", stop_patience=3)
FIXES: dict[str, dict[str, Callable[[Case, Finding], Case]]] = {
    "diverging": {"--lr": with_rate, "--clip 1": setting(clip=1.0)},
    "oscillating": {"--lr": with_rate},
    "rate_too_low": {"--lr": with_rate},
    "exploding": {"--init kaiming": initialized},
    "overfitting": {"--keep best": KEPT, "--weight-decay": setting(weight_decay=0.01)},
    "too_few_epochs": {"resume --epochs": resumed, "--epochs": longer},
}


def trained(case: Case) -> tuple[float, list[Finding]]:
    """Train to the end; return the validation loss of the parameters that are kept, and the findings."""
    learn = case.learner()
    doctor = Doctor(learn)
    for event in learn.stream():
        if isinstance(event, Epoch) and case.recipe.keep == "best":
            learn.state.keep_if_best()
        doctor.observe(event)
    if learn.state.best:
        learn.model.load_state_dict(learn.state.best)
    loss = learn.validate()[0]
    return (loss if math.isfinite(loss) else math.inf), doctor.findings


def rows(name: str, seeds: Sequence[int]) -> list[Row]:
    """Try the fixes of each fault on these pictures."""
    splits = pictures(name)
    found = []
    for what, fault in FAULTS.items():
        if fault.only_two and len(splits.classes) > 2:
            continue
        for model in fault.models:
            losses: dict[str, list[tuple[float, float]]] = {}
            for seed in seeds:
                case = fault.inject(healthy(splits, model, seed))
                before, findings = trained(case)
                named = next((finding for finding in findings if finding.code in fault.codes), None)
                for fix, change in FIXES.get(named.code, {}).items() if named else ():
                    losses.setdefault(fix, []).append((before, trained(change(case, named))[0]))
            for fix, pairs in losses.items():
                middle = sorted(pairs)[len(pairs) // 2]
                lower = sum(after < before for before, after in pairs)
                found.append(Row(what, model, fix, lower, len(pairs), *middle))
                print(found[-1], file=sys.stderr, flush=True)
    return found


def markdown(found: Sequence[Row]) -> str:
    """Return the table, with fixes marked that did not always lower the loss."""
    lines = ["| fault | model | fix | lower loss | before | after |", "|---" * 6 + "|"]
    for row in found:
        missed = "" if row.lower == row.runs else " **missed**"
        lines.append(
            f"| {row.fault} | {row.model} | {row.fix} | {row.lower} of {row.runs}{missed} | {row.before:.3g} | "
            f"{row.after:.3g} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Try all fixes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", default="Pullover/Dress")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = rows(arguments.pictures, range(100, 100 + arguments.seeds))
    if arguments.json:
        print(json.dumps({"machine": describe(), "rows": [asdict(row) for row in found]}))
    else:
        print(f"{describe()}\n\n{markdown(found)}")


if __name__ == "__main__":
    main()
