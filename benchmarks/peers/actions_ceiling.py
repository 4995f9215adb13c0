#!/usr/bin/env python3
"""What the classes of `mcn synth --scene actions` can be told from: supervised training on whole clips (the ceiling),
on single frames and on mean frames, and linear classifiers on pixels and on statistics of color, place and extent.

    pip install torch numpy;  actions_ceiling.py VIDEOS [--epochs 40] [--frames 8] [--size 48]

VIDEOS: a folder that `mcn synth` wrote, of any size. Needs ffmpeg."""
import argparse
import os
import subprocess
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def load(root, name, size):
    """Videos x frames x 3 x size x size (the middle square, uint8), and labels."""
    classes = {line.split()[1]: int(line.split()[0]) - 1 for line in open(f"{root}/ucfTrainTestlist/classInd.txt")}
    clips, labels = [], []
    for line in open(f"{root}/ucfTrainTestlist/{name}"):
        video = line.split()[0]
        crop = f"crop=min(iw\\,ih):min(iw\\,ih),scale={size}:{size}:flags=area"
        command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", f"{root}/{video}", "-vf", crop]
        raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
        clips.append(np.frombuffer(raw, np.uint8).reshape(-1, size, size, 3).transpose(0, 3, 1, 2))
        labels.append(classes[os.path.dirname(video)])
    return torch.from_numpy(np.stack(clips)), torch.tensor(labels), len(classes)


def unit(inputs, outputs, stride, temporal_stride):
    """A (2+1)D convolution."""
    spatial = nn.Conv3d(inputs, outputs, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
    temporal = nn.Conv3d(outputs, outputs, (3, 1, 1), (temporal_stride, 1, 1), (1, 0, 0), bias=False)
    return nn.Sequential(spatial, nn.BatchNorm3d(outputs), nn.ReLU(), temporal, nn.BatchNorm3d(outputs), nn.ReLU())


class Net(nn.Module):
    """A small R(2+1)D without shortcuts. A single frame goes through the same layers."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(unit(3, 24, 2, 1), unit(24, 32, 1, 1), unit(32, 64, 2, 2), unit(64, 64, 1, 1),
                                  unit(64, 128, 2, 2), unit(128, 128, 1, 1))
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, classes))

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3, 4)))


def views(videos, frames, stride, kind, train, rng):
    """Clips as batch x 3 x frames x size x size, without the mean; randomly placed and recolored in training."""
    span = (frames - 1) * stride + 1
    out = []
    for v in videos:
        at = int(rng.integers(v.shape[0] - span + 1)) if train else (v.shape[0] - span) // 2
        x = v[at:at + span:stride].float() / 255
        if kind == "frame":
            x = x[frames // 2:frames // 2 + 1]
        elif kind == "mean":
            x = x.mean(0, keepdim=True)
        if train:
            x = x[..., torch.from_numpy(rng.permutation(3)), :, :]
            x = (x - 0.5) * (1 if rng.random() < 0.5 else -1) * rng.uniform(0.6, 1.4)
            x = torch.roll(x, (int(rng.integers(-4, 5)), int(rng.integers(-6, 7))), (-2, -1))
            if rng.random() < 0.5:
                x = x.flip(-1)
        # A clip is seen against its mean frame, which takes away what stands still.
        out.append((x - x.mean(0 if kind == "clip" else (0, 2, 3), keepdim=True)).transpose(0, 1))
    return torch.stack(out) * 4


def supervised(train, test, classes, kind, c):
    torch.manual_seed(c.seed)
    rng = np.random.default_rng(c.seed)
    net = Net(classes)
    steps = c.epochs * (len(train[1]) // c.batch)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    start = time.time()
    net.train()
    for step in range(steps):
        if step % (len(train[1]) // c.batch) == 0:
            order, at, right = rng.permutation(len(train[1])), 0, 0
        pick = order[at:at + c.batch]
        at += c.batch
        scores = net(views(train[0][pick], c.frames, c.stride, kind, True, rng))
        right += (scores.argmax(1) == train[1][pick]).sum().item()
        loss = F.cross_entropy(scores, train[1][pick], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        said = torch.cat([net(views(v, c.frames, c.stride, kind, False, rng)).argmax(1) for v in test[0].split(64)])
    by_class = [100 * (said[test[1] == k] == k).float().mean().item() for k in range(classes)]
    accuracy = 100 * (said == test[1]).float().mean().item()
    print(f"{kind}: {accuracy:.1f}% (training {100 * right / at:.0f}%) in {time.time() - start:.0f} s; by class",
          *(f"{a:.0f}" for a in by_class), flush=True)


def statistics(videos):
    """Of a video: colors' mean and deviation, and of what differs from the mean frame: amount, place and extent."""
    x = videos.float() / 255
    still = [x.mean((1, 3, 4)), x.std((1, 3, 4))]
    moving = (x - x.mean(1, keepdim=True)).abs().mean((1, 2))
    y = torch.linspace(-1, 1, x.shape[-1])
    mass = moving.sum((1, 2)) + 1e-6
    px, py = moving.sum(1) / mass[:, None], moving.sum(2) / mass[:, None]
    mx, my = px @ y, py @ y
    moments = torch.stack([mx, my, ((px @ y ** 2) - mx ** 2).sqrt(), ((py @ y ** 2) - my ** 2).sqrt(), mass], 1)
    return torch.cat(still, 1), moments


def linear(train, test, classes, label, of):
    a, b = of(train[0]), of(test[0])
    mean, deviation = a.mean(0), a.std(0) + 1e-6
    a, b = (a - mean) / deviation, (b - mean) / deviation
    layer = nn.Linear(a.shape[1], classes)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=300)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(a), train[1]) + 1e-3 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    print(f"{label}: {100 * (layer(b).argmax(1) == test[1]).float().mean().item():.1f}%", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("videos")
    p.add_argument("--epochs", type=int, default=40)
    p.add_argument("--frames", type=int, default=8)
    p.add_argument("--stride", type=int, default=4)
    p.add_argument("--size", type=int, default=48)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--kinds", default="clip,frame,mean")
    c = p.parse_args()
    torch.set_num_threads(c.threads)
    *train, classes = load(c.videos, "trainlist01.txt", c.size)
    *test, _ = load(c.videos, "testlist01.txt", c.size)
    print(f"{len(train[1])} training and {len(test[1])} test videos, chance {100 / classes:.1f}%", flush=True)
    for label, of in [("mean and deviation of colors", lambda v: statistics(v)[0]),
                      ("amount, place and extent of motion", lambda v: statistics(v)[1]),
                      ("pixels of the middle frame", lambda v: v[:, v.shape[1] // 2].flatten(1).float()),
                      ("pixels of the mean frame", lambda v: v.float().mean(1).flatten(1))]:
        linear(train, test, classes, f"linear, {label}", of)
    for kind in c.kinds.split(","):
        supervised(train, test, classes, kind, c)


if __name__ == "__main__":
    main()
