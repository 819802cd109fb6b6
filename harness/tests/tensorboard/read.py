"""Reads a report's event files with TensorBoard's own reader and compares every value with the runs' logs.

Usage: python read.py REPORT, after `autolr report --tensorboard REPORT`. Needs the package tensorboard.
"""

import json
import math
import struct
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

KEYS = {
    "lr": "lr",
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
}


def single(value):
    """The value in single precision."""
    value = float(value)
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def expected(log):
    """Tag -> [(step, value)], from a run's events."""
    scalars = {}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "epoch":
            for tag, key in KEYS.items():
                scalars.setdefault(tag, []).append((event["epoch"], single(event[key])))
        elif event["event"] == "decision":
            scalars.setdefault("factor", []).append((event["epoch"], single(event["decision"]["factor"])))
    return scalars


def read(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in tags}


def main():
    report = Path(sys.argv[1])
    manifest = json.loads((report / "manifest.json").read_text())
    root = report / "tensorboard"
    found = {path.parent: read(path.parent) for path in root.rglob("*tfevents*")}
    wanted = [
        expected(report / "runs" / run["run"] / "events.jsonl")
        for section in manifest["sections"]
        for series in section["series"]
        for run in series["runs"]
    ]
    # Without trust in the names of the folders: each log has a folder that says the same, and no folder is left over.
    values = 0
    for log in wanted:
        match = next(
            (
                folder
                for folder, scalars in found.items()
                if scalars.keys() == log.keys()
                and all(
                    len(scalars[tag]) == len(log[tag])
                    and all(a[0] == b[0] and same(a[1], b[1]) for a, b in zip(scalars[tag], log[tag]))
                    for tag in log
                )
            ),
            None,
        )
        if match is None:
            sys.exit(f"no folder holds the log with {({tag: len(v) for tag, v in log.items()})}")
        values += sum(len(points) for points in found.pop(match).values())
    if found:
        sys.exit(f"left over: {sorted(map(str, found))}")
    print(f"{len(wanted)} runs, {values} values: all read by TensorBoard as they were logged")


if __name__ == "__main__":
    main()
