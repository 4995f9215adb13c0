"""Writes weights.pth, a state dict of PyTorch, and prints the features that PyTorch computes with it: R(2+1)D of ten
layers at width 0.03, from torchvision's blocks. Needs torch and torchvision:  python make_weights.py"""
import math
import pathlib

import torch
from torch import nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D

WIDTH = 0.03


def scaled(channels):
    return max(1, math.floor(channels * WIDTH + 0.5))


def stage(inputs, outputs, stride):
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride=(stride,) * 3, bias=False), nn.BatchNorm3d(outputs))
    return nn.Sequential(BasicBlock(inputs, outputs, Conv2Plus1D, stride, downsample))


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        base, mid = scaled(64), scaled(45)
        self.stem = nn.Sequential(
            nn.Conv3d(3, mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False), nn.BatchNorm3d(mid), nn.ReLU(),
            nn.Conv3d(mid, base, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(base), nn.ReLU())
        widths = [base] + [scaled(64 << i) for i in range(4)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            stage(widths[i], widths[i + 1], 1 if i == 0 else 2) for i in range(4))

    def forward(self, x):
        for part in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x = part(x)
        return x.mean((2, 3, 4))


torch.manual_seed(1)
net = Backbone()
for name, tensor in net.state_dict().items():
    if name.endswith("running_var") or (name.endswith(".weight") and tensor.dim() == 1):
        tensor.uniform_(0.5, 1.5)
    elif name.endswith(("running_mean", ".bias")):
        tensor.normal_(0, 0.2)
torch.save({"epoch": 3, "state_dict": {"module." + n: t for n, t in net.state_dict().items()}},
           pathlib.Path(__file__).with_name("weights.pth"))
clip = torch.sin(0.7 * torch.arange(3 * 4 * 16 * 16, dtype=torch.float64) + 0.25).reshape(1, 3, 4, 16, 16)
print(", ".join(repr(v) for v in net.double().eval()(clip)[0].tolist()))
