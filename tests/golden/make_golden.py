"""Writes r2plus1d_10.json: losses, gradients and K=2 meta-gradients of torchvision's R(2+1)D with ten layers, in
float64, with weights, clips and labels that a formula fills, so that the C++ tests can rebuild the problem exactly. The
last two cases have an inner rate for every step and group of layers, and the query loss's derivatives by these rates.
Needs torch and torchvision; run it again only if the problem changes:  python make_golden.py"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from torch.func import functional_call
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

BATCH, FRAMES, SIZE, CLASSES, STEPS, INNER_LR = 4, 4, 32, 5, 2, 0.002
GROUPS = ["stem", "layer1", "layer2", "layer3", "layer4", "heads"]


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


def group(name):
    return GROUPS.index(name.split(".")[0].replace("fc", "heads"))


def meta_gradient(steps, order, factors):
    """factors: of the inner rate, steps x groups."""
    p0 = {n: w.clone().requires_grad_() for n, w in theta.items()}
    p, support = p0, []
    for k in range(steps):
        value = loss(p, "support")
        support.append(value.item())
        g = torch.autograd.grad(value, list(p.values()), create_graph=order == 2)
        p = {n: w - INNER_LR * factors[k, group(n)] * d for (n, w), d in zip(p.items(), g)}
    query = loss(p, "query")
    by_factors, *gradient = torch.autograd.grad(query, [factors, *p0.values()], allow_unused=True)
    return support, query.item(), gradient, by_factors


def summary(steps, order, given=None):
    factors = torch.ones(steps, len(GROUPS), dtype=torch.float64) if given is None else given
    support, query, gradient, by_factors = meta_gradient(steps, order, factors.requires_grad_())
    rows = []
    for n, g in zip(theta, gradient):
        flat = g.flatten()
        rows.append({"name": n, "norm": flat.norm().item(), "wave": (flat * wave(flat.numel(), 0.5)).sum().item(),
                     "first": flat[0].item(), "last": flat[-1].item()})
    case = {"steps": steps, "order": order, "support": support, "query": query, "gradient": rows}
    if given is not None:
        case |= {"factors": given.tolist(), "by_rates": (by_factors / INNER_LR).tolist()}
    return case


uneven = 1 + 0.5 * wave(STEPS * len(GROUPS), 0.0).reshape(STEPS, len(GROUPS))
out = {"batch": BATCH, "frames": FRAMES, "size": SIZE, "classes": CLASSES, "inner_lr": INNER_LR,
       "torch": torch.__version__.split("+")[0], "groups": GROUPS, "parameters": list(theta),
       "cases": [summary(0, 1), summary(STEPS, 1), summary(STEPS, 2), summary(STEPS, 1, uneven.clone()),
                 summary(STEPS, 2, uneven.clone())]}
pathlib.Path(__file__).with_name("r2plus1d_10.json").write_text(json.dumps(out, indent=1) + "\n")
