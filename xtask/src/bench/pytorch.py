"""PyTorch's side of `cargo xtask bench`: one worker, one way of using PyTorch.

Reads requests and writes answers, one JSON object a line; xtask/src/bench/worker.rs has the protocol.
autolr-tch/benches/training.rs is the other side: what one measures, the other does.
"""

import copy
import json
import os
import platform
import sys
import time

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy, relu

LR = 1e-4
CLASSES = 10


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """The network of autolr-tch/src/resnet.rs, its modules in the same order, so that a seed gives the same weights."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage in range(4):
            outputs = width << stage
            blocks = [Block(inputs, outputs, 2 if stage else 1), Block(outputs, outputs, 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.linear = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(avg_pool2d(x, 4).flatten(1))


def training_loss(model, images, labels):
    return cross_entropy(model(images), labels)


def logits(model, images):
    return model(images)


class Training:
    """A network, its optimiser and a batch, and the operations that are measured. Each returns one number to compare."""

    def __init__(self, request, layout, compiled):
        if compiled:
            torch._dynamo.reset()
        torch.manual_seed(0)
        self.model = ResNet18(request["width"])
        torch.manual_seed(1)
        batch = request["batch"]
        self.images = torch.randn(batch, 3, 32, 32)
        self.labels = torch.arange(batch) % CLASSES
        if layout == "channels-last":
            self.model.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        rules = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
        self.optimizer = rules[request["optimizer"]](self.model.parameters(), lr=LR, fused=True)
        self.rates = [1e-3 / (index + 1) for index in range(request["candidates"])]
        # Compiled as functions of the model, so that the copies of a probe share the compiled code.
        wrap = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.training_loss = wrap(training_loss)
        self.logits = wrap(logits)

    def step(self):
        self.model.train()
        self.optimizer.zero_grad()
        loss = self.training_loss(self.model, self.images, self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def forward(self):
        self.model.eval()
        with torch.inference_mode():
            return self.logits(self.model, self.images)[0, 0]

    def probe(self):
        self.model.train()
        self.optimizer.zero_grad()
        for lr in self.rates:
            loss = self.trial(lr)[0]
        return loss

    def probe_keeping_copies(self):
        """The same, with the copies all there at once, as where training goes on from each."""
        self.model.train()
        self.optimizer.zero_grad()
        return [self.trial(lr) for lr in self.rates][-1][0]

    def trial(self, lr):
        """The paper's way: a copy of everything, a step at this rate, and the loss after it."""
        model, optimizer = copy.deepcopy((self.model, self.optimizer))
        for group in optimizer.param_groups:
            group["lr"] = lr
        self.training_loss(model, self.images, self.labels).backward()
        optimizer.step()
        with torch.no_grad():
            return self.training_loss(model, self.images, self.labels).item(), model, optimizer


class Worker:
    def __init__(self, layout, compiled):
        self.layout, self.compiled = layout, compiled
        self.training = self.call = None

    def prepare(self, request):
        """A new training, and the first call of its operation: what is compiled is compiled here."""
        self.training = self.call = None
        begin = time.perf_counter()
        self.training = Training(request, self.layout, self.compiled)
        if request["operation"] == "probe":
            # So that the optimiser has its state, and the weights are not the initial ones.
            self.training.step()
        self.call = getattr(self.training, request["operation"])
        value = float(self.call())
        first = time.perf_counter() - begin
        count = sum(parameter.numel() for parameter in self.training.model.parameters())
        self.measure({"seconds": 0.2, "calls": 1, "longest": 0.2})
        return {"parameters": count, "value": value, "first_seconds": first}

    def measure(self, request):
        """Calls until so much time and so many calls are over, or the longest time is."""
        calls, begin = 0, time.perf_counter()
        while True:
            self.call()
            calls += 1
            seconds = time.perf_counter() - begin
            enough = seconds >= request["seconds"] and calls >= request["calls"]
            if enough or seconds >= request["longest"]:
                return {"calls": calls, "seconds": seconds}

    def memory(self, _request):
        """Peaks of a step, of a probe, and of one that keeps its copies, in this order since memory once had stays."""
        training = self.training
        answer = {"step": peak(training.step), "probe": peak(training.probe)}
        return answer | {"keeping_copies": peak(training.probe_keeping_copies)}


def peak(action):
    """The largest resident size of this process, in bytes, during two calls of an action."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    action()
    action()
    with open("/proc/self/status") as file:
        kilobytes = next(line for line in file if line.startswith("VmHWM:")).split()[1]
    return 1024 * int(kilobytes)


def main():
    # Answers go where standard output was; what libraries print must not get between them.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(layout=sys.argv[1], compiled=sys.argv[2] == "compiled")

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    answer(
        {
            "libtorch": torch.__version__,
            "kernels": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
        }
    )
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer({"prepare": worker.prepare, "measure": worker.measure, "memory": worker.memory}[request["do"]](request))
        except Exception as error:
            # Only a compiler may be missing, or may not know what to do.
            kind = "unavailable" if worker.compiled and request["do"] == "prepare" else "error"
            text = next((text for text in str(error).splitlines() if text.strip()), "")
            answer({kind: f"{type(error).__name__}: {text}"[:300]})


main()
