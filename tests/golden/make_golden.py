"""Writes r2plus1d_10.json: losses, gradients and K=2 meta-gradients of torchvision's R(2+1)D with ten layers, in
float64, with weights, clips and labels that a formula fills, so that the C++ tests can rebuild the problem exactly.
Needs torch and torchvision; run it again only if the problem changes:  python make_golden.py"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from torch.func import functional_call
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

BATCH, FRAMES, SIZE, CLASSES, STEPS, INNER_LR = 4, 4, 32, 5, 2, 0.002


def wave(count, phase):
    return torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + phase)


def filled(name, shape, number):
    values = wave(math.prod(shape), float(number))
    if len(shape) == 5:  # a convolution: deviation sqrt(2 / fan_out); a sine's is sqrt(1 / 2)
        values = values * math.sqrt(4.0 / (shape[0] * shape[2] * shape[3] * shape[4]))
    elif name == "fc.weight":
        values = values * 0.05
    else:
        values = values * 0.2 + (1.0 if name.endswith(".weight") else 0.0)
    return values.reshape(shape)


model = VideoResNet(block=BasicBlock, conv_makers=[Conv2Plus1D] * 4, layers=[1] * 4, stem=R2Plus1dStem,
                    num_classes=CLASSES).double().train()
for m in model.modules():
    if isinstance(m, torch.nn.BatchNorm3d):
        m.track_running_stats = False
        m.running_mean = m.running_var = m.num_batches_tracked = None
theta = {n: filled(n, tuple(p.shape), i) for i, (n, p) in enumerate(model.named_parameters())}
clip = (BATCH, 3, FRAMES, SIZE, SIZE)
sets = {"support": (wave(math.prod(clip), 0.25).reshape(clip), torch.arange(BATCH) % CLASSES),
        "query": (wave(math.prod(clip), 1.5).reshape(clip), (2 * torch.arange(BATCH) + 1) % CLASSES)}


def loss(p, s):
    return F.cross_entropy(functional_call(model, p, (sets[s][0],)), sets[s][1])


def meta_gradient(steps, order):
    p0 = {n: w.clone().requires_grad_() for n, w in theta.items()}
    p, support = p0, []
    for _ in range(steps):
        value = loss(p, "support")
        support.append(value.item())
        g = torch.autograd.grad(value, list(p.values()), create_graph=order == 2)
        p = {n: w - INNER_LR * d for (n, w), d in zip(p.items(), g)}
    query = loss(p, "query")
    return support, query.item(), torch.autograd.grad(query, list(p0.values()))


def summary(steps, order):
    support, query, gradient = meta_gradient(steps, order)
    rows = []
    for n, g in zip(theta, gradient):
        flat = g.flatten()
        rows.append({"name": n, "norm": flat.norm().item(), "wave": (flat * wave(flat.numel(), 0.5)).sum().item(),
                     "first": flat[0].item(), "last": flat[-1].item()})
    return {"steps": steps, "order": order, "support": support, "query": query, "gradient": rows}


out = {"batch": BATCH, "frames": FRAMES, "size": SIZE, "classes": CLASSES, "inner_lr": INNER_LR,
       "torch": torch.__version__.split("+")[0], "parameters": list(theta),
       "cases": [summary(0, 1), summary(STEPS, 1), summary(STEPS, 2)]}
pathlib.Path(__file__).with_name("r2plus1d_10.json").write_text(json.dumps(out, indent=1) + "\n")
