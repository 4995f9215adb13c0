"""Writes s3d.json: logits, losses, gradients and a K=2 second-order meta-gradient of torchvision's S3D at an eighth of
its width, in float64, with weights, clips and labels that a formula fills, so that the C++ tests can
rebuild the problem exactly. The clips are smaller than the window of the average pool, which is cut to what is left of
them; along time the window has more than one place.
Needs torch and torchvision; run it again only if the problem changes:  python make_s3d.py"""
import functools
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from torch.func import functional_call
from torchvision.models.video.s3d import S3D, SepInceptionBlock3D, TemporalSeparableConv
from torchvision.ops.misc import Conv3dNormActivation

BATCH, FRAMES, SIZE, CLASSES, STEPS, INNER_LR, NARROWER = 4, 24, 32, 5, 2, 2e-5, 8
LAST_EXTENT = 1  # of 32 pixels after five strides of 2


def wave(count, phase):
    return torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + phase)


def chirp(count, phase):
    """A plain wave makes every matrix of weights one of rank 2."""
    i = torch.arange(count)
    return torch.sin((0.7 * i.double() + phase) + (i * i % 1009).double())


def filled(name, shape, number):
    values = chirp(math.prod(shape), float(number))
    if name == "classifier.1.weight":
        values = values * 0.05
    elif len(shape) == 5:  # a convolution: deviation sqrt(2 / fan_out); a sine's is sqrt(1 / 2)
        values = values * math.sqrt(4.0 / (shape[0] * shape[2] * shape[3] * shape[4]))
    else:
        values = values * 0.2 + (1.0 if name.endswith(".weight") else 0.0)
    return values.reshape(shape)


def narrow():
    """torchvision's network with an eighth of its channels: all numbers of channels are multiples of 8."""
    norm = functools.partial(torch.nn.BatchNorm3d, eps=0.001, momentum=0.001)
    whole = S3D(num_classes=CLASSES, dropout=0.0)
    layers = []
    for layer in whole.features:
        if isinstance(layer, TemporalSeparableConv):
            first, second = layer[0][0], layer[1][0]
            inputs = 3 if first.in_channels == 3 else first.in_channels // NARROWER
            layers.append(TemporalSeparableConv(inputs, first.out_channels // NARROWER, second.kernel_size[0],
                                                second.stride[0], second.padding[0], norm))
        elif isinstance(layer, SepInceptionBlock3D):
            channels = [layer.branch0[0].in_channels, layer.branch0[0].out_channels, layer.branch1[0][0].out_channels,
                        layer.branch1[1][0][0].out_channels, layer.branch2[0][0].out_channels,
                        layer.branch2[1][0][0].out_channels, layer.branch3[1][0].out_channels]
            layers.append(SepInceptionBlock3D(*[n // NARROWER for n in channels], norm))
        elif isinstance(layer, Conv3dNormActivation):
            layers.append(Conv3dNormActivation(layer[0].in_channels // NARROWER, layer[0].out_channels // NARROWER,
                                               kernel_size=1, stride=1, norm_layer=norm))
        else:
            layers.append(layer)
    whole.features = torch.nn.Sequential(*layers)
    whole.avgpool = torch.nn.AvgPool3d(kernel_size=(2, LAST_EXTENT, LAST_EXTENT), stride=1)
    whole.classifier[1] = torch.nn.Conv3d(1024 // NARROWER, CLASSES, kernel_size=1, bias=True)
    return whole


model = narrow().double().train()
for m in model.modules():
    if isinstance(m, torch.nn.BatchNorm3d):
        m.track_running_stats = False
        m.running_mean = m.running_var = m.num_batches_tracked = None
theta = {n: filled(n, tuple(p.shape), i) for i, (n, p) in enumerate(model.named_parameters())}
clip = (BATCH, 3, FRAMES, SIZE, SIZE)
sets = {"support": (chirp(math.prod(clip), 0.25).reshape(clip), torch.arange(BATCH) % CLASSES),
        "query": (chirp(math.prod(clip), 1.5).reshape(clip), (2 * torch.arange(BATCH) + 1) % CLASSES)}


def logits(p, s):
    return functional_call(model, p, (sets[s][0],))


def loss(p, s):
    return F.cross_entropy(logits(p, s), sets[s][1])


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


out = {"arch": "s3d", "width": 1 / NARROWER, "batch": BATCH, "frames": FRAMES, "size": SIZE, "classes": CLASSES,
       "inner_lr": INNER_LR, "torch": torch.__version__.split("+")[0], "parameters": list(theta),
       "logits": logits(theta, "support").tolist(), "cases": [summary(0, 1), summary(STEPS, 2)]}
pathlib.Path(__file__).with_name("s3d.json").write_text(json.dumps(out, indent=1) + "\n")
