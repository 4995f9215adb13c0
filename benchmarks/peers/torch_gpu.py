#!/usr/bin/env python3
"""The work of `mcn bench step` and `mcn bench meta` in PyTorch on a GPU; one JSON line.

step: a training step of R(2+1)D-18 (forward, backward, momentum SGD). meta: a MAML meta-gradient with K = 1, second
order by double backward (which torch.compile refuses). Exit status 77: PyTorch cannot do it here, and the line says why.
"""
import argparse
import contextlib
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.func import functional_call
from torchvision.models.video import r2plus1d_18


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=["step", "meta"])
    parser.add_argument("--number", choices=["fp32", "tf32", "bf16"], default="fp32", help="bf16: by autocast")
    parser.add_argument("--channels-last", action="store_true", help="channels_last_3d instead of the default layout")
    parser.add_argument("--compile", action="store_true", help="step: by torch.compile")
    parser.add_argument("--batch", type=int, default=32, help="clips, of each of S and Q")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--runs", type=int, default=10, help="timed, after three others")
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def clips(o):
    x = torch.randn(o.batch, 3, o.frames, o.size, o.size, device=o.device)
    return x.to(memory_format=torch.channels_last_3d) if o.channels_last else x


def autocast(o):
    if o.number != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(o.device, dtype=torch.bfloat16)


def network(o, classes):
    model = r2plus1d_18(num_classes=classes).train().to(o.device)
    return model.to(memory_format=torch.channels_last_3d) if o.channels_last else model


def training_step(o):
    model = network(o, 128)
    forward = torch.compile(model) if o.compile else model
    x, y = clips(o), torch.randint(0, 128, (o.batch,), device=o.device)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step():
        sgd.zero_grad()
        with autocast(o):
            loss = F.cross_entropy(forward(x), y)
        loss.backward()
        sgd.step()
        return loss.item()

    return step


def meta_gradient(o):
    model = network(o, o.batch)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    theta = dict(model.named_parameters())
    y = torch.arange(o.batch, device=o.device)
    support, query = clips(o), clips(o)

    def loss(parameters, x):
        with autocast(o):
            return F.cross_entropy(functional_call(model, parameters, (x,)), y)

    def meta():
        gradient = torch.autograd.grad(loss(theta, support), list(theta.values()), create_graph=True)
        adapted = {name: w - 0.01 * g for (name, w), g in zip(theta.items(), gradient)}
        outer = loss(adapted, query)
        torch.autograd.grad(outer, list(theta.values()))
        return outer.item()

    return meta


def main():
    o = options()
    torch.manual_seed(0)
    tf32 = o.number != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    cuda = o.device == "cuda"
    line = {"bench": "torch " + o.bench, "number": o.number, "channels_last": o.channels_last, "compiled": o.compile,
            "batch": o.batch, "frames": o.frames, "size": o.size, "torch": torch.__version__}
    try:
        work = training_step(o) if o.bench == "step" else meta_gradient(o)
        for _ in range(3):
            loss = work()
        seconds = []
        for _ in range(o.runs):
            start = time.perf_counter()
            loss = work()  # which waits for the GPU: it reads the loss
            if cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError as error:
        print(json.dumps({**line, "error": "out of memory: " + str(error).split(".")[0]}))
        return 77
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else 0
    print(json.dumps({**line, "seconds_min": min(seconds), "seconds_median": statistics.median(seconds),
                      "peak_memory_gib": peak, "runs": o.runs, "loss": loss}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
