#!/usr/bin/env python3
"""The closed loop from Python: trains a small least-squares model at the rates that `autolr update` finds.

    cargo build --release -p harness --no-default-features
    python3 examples/python/closed_loop.py target/release/autolr

Python 3.8 or later, standard library only. The training is stopped half-way, its state saved to a file, and taken
up again by a new process; it has to end exactly as the training that was not stopped.
"""

import json
import os
import random
import subprocess
import sys
import tempfile

EPOCHS = 20
# A network, whose losses are noisy, should also have a schedule that the loop scales: "base" in place of "lr".
CONFIG = {"lr": 0.001, "factors": "factor_5", "edge_probes": 2, "every": 2,
          "min_lr": 1e-5, "max_lr": 5}


class Scheduler:
    """`autolr update` as a child process. Its state is in the answers alone: `self.state`."""

    def __init__(self, program, state=None):
        self.child = subprocess.Popen(
            [program, "update"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if state is None:
            self.answer({"start": CONFIG})
        else:
            # `config` is checked: a state that was saved under other settings is refused.
            self.answer({"ask": state, "config": CONFIG})

    def answer(self, question):
        self.child.stdin.write(json.dumps(question) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            # What was wrong stands on standard error.
            raise SystemExit(f"autolr update ended with code {self.child.wait()}")
        answer = json.loads(line)
        self.state, self.lr, self.due = answer["state"], answer["lr"], answer["due"]
        return answer

    def end_epoch(self, probe):
        """`probe(lr)` is the loss after a step at `lr`, which it takes back."""
        if not self.due:
            self.answer({"skip": self.state})
            return None
        answer = self.answer({"ask": self.state})
        while "decision" not in answer:
            losses = [as_json(probe(lr)) for lr in answer["candidates"]]
            answer = self.answer({"tell": self.state, "losses": losses})
        return answer["decision"]

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        if self.child.wait() != 0:
            raise SystemExit("autolr update failed")


def as_json(loss):
    """JSON has no NaN: numbers that are not finite are written as words."""
    return loss if abs(loss) < float("inf") else str(loss)


class Model:
    """Least squares in three weights: the loss is the mean of (w·x − y)²/2."""

    def __init__(self, weights=(0.0, 0.0, 0.0)):
        draw = random.Random(1)
        self.weights = list(weights)
        self.inputs = [[draw.gauss(0.0, 1.0) for _ in range(3)] for _ in range(64)]
        self.targets = [2.0 * x[0] - x[1] + 0.5 * x[2] + draw.gauss(0.0, 0.1) for x in self.inputs]

    def residuals(self, weights):
        return [
            sum(w * x for w, x in zip(weights, row)) - y for row, y in zip(self.inputs, self.targets)
        ]

    def loss(self, weights):
        return sum(r * r for r in self.residuals(weights)) / (2 * len(self.targets))

    def stepped(self, lr):
        residuals = self.residuals(self.weights)
        count = len(residuals)
        gradient = [
            sum(r * row[k] for r, row in zip(residuals, self.inputs)) / count for k in range(3)
        ]
        return [w - lr * g for w, g in zip(self.weights, gradient)]


def train(program, epochs, checkpoint=None):
    """Trains from the checkpoint, or from the beginning, until `epochs` are done. Returns a checkpoint."""
    start = checkpoint or {"epoch": 0, "weights": [0.0, 0.0, 0.0], "scheduler": None}
    model = Model(start["weights"])
    scheduler = Scheduler(program, start["scheduler"])
    for epoch in range(start["epoch"], epochs):
        model.weights = model.stepped(scheduler.lr)
        decision = scheduler.end_epoch(lambda lr: model.loss(model.stepped(lr)))
        if decision:
            print(f"epoch {epoch}: loss {model.loss(model.weights):.6f}, "
                  f"lr {decision['lr']:.4g} -> {decision['new_lr']:.4g}")
    scheduler.close()
    return {"epoch": epochs, "weights": model.weights, "scheduler": scheduler.state}


def main():
    if len(sys.argv) != 2:
        raise SystemExit("usage: closed_loop.py PATH-OF-AUTOLR")
    program = sys.argv[1]
    print("without a stop")
    whole = train(program, EPOCHS)

    print("stopped half-way")
    path = os.path.join(tempfile.mkdtemp(), "checkpoint.json")
    with open(path, "w") as file:
        json.dump(train(program, EPOCHS // 2), file)
    print("and taken up again")
    with open(path) as file:
        resumed = train(program, EPOCHS, json.load(file))
    os.remove(path)
    os.rmdir(os.path.dirname(path))

    first, last = Model().loss([0.0, 0.0, 0.0]), Model().loss(whole["weights"])
    if last > 0.01 * first:
        raise SystemExit(f"the loss went from {first} to {last} only")
    if resumed != whole:
        raise SystemExit(f"the stop changed the training:\n{resumed}\n{whole}")
    print(f"the same to the last bit: loss {first:.4f} -> {last:.4f}")


if __name__ == "__main__":
    main()
