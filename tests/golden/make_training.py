"""Writes training.json: what PyTorch makes of four iterations of training, in float64: losses, gradient norms, and at the
end parameters, running statistics and the rows of the bank. The networks are built from torchvision's blocks; weights and
frames come from formulas, so that the C++ tests can rebuild the problem exactly. The bank's first rows are those of the
Philox generator of Salmon et al. (SC 2011), written down here a second time.
Needs torch and torchvision; run it again only if the problem changes:  python make_training.py"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, Conv3DSimple

VIDEOS, FRAMES, SIZE, FEATURES, SEED = 12, 4, 24, 8, 3
TEMPERATURE, LAMBDA, INNER_LR, BETA = 0.3, 0.6, 0.002, 0.7
# S is the first half, Q the second. Videos come back, so that the bank holds rows of theirs.
BATCHES = [[0, 1, 2, 3, 4, 5, 6, 7], [8, 6, 7, 9, 4, 10, 5, 11], [11, 2, 0, 8, 5, 3, 1, 10], [9, 4, 10, 1, 7, 0, 6, 2]]
CASES = [
    {"arch": "r2plus1d_10", "width": 0.06, "method": "mcn", "steps": 2, "objective": "support+query", "optimizer": "sgd",
     "momentum": 0.8, "weight_decay": 0.05, "bank": "memory", "bank_size": VIDEOS, "bank_momentum": 0.7, "clip": 0,
     "rates": [0.002, 0.004, 0.004, 0.0004]},  # multistep: warm-up of 2 iterations, a drop to a tenth at 3
    {"arch": "r3d_18", "width": 0.05, "method": "mcn", "steps": 1, "objective": "query", "optimizer": "adamw",
     "momentum": 0.8, "beta2": 0.9, "weight_decay": 0.05, "bank": "queue", "bank_size": 6, "bank_momentum": 0.5, "clip": 0,
     # cosine, without a warm-up: half a period over the 4 iterations
     "rates": [0.01 * 0.5 * (1 + math.cos(math.pi * i / 4)) for i in range(4)]},
    {"arch": "r2plus1d_10", "width": 0.06, "method": "joint", "steps": 0, "objective": "query", "optimizer": "sgd",
     "momentum": 0, "weight_decay": 0, "bank": "memory", "bank_size": VIDEOS, "bank_momentum": 0.2, "clip": 0.25,
     "rates": [0.1] * 4},
]


def philox(seed, stream):
    """Words of 32 bits: Philox4x32 with ten rounds."""
    counter = 0
    while True:
        c = [counter & 0xFFFFFFFF, counter >> 32, stream & 0xFFFFFFFF, stream >> 32]
        k = [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        yield from c
        counter += 1


def normals(words):
    def uniform():
        high = next(words)
        return ((high << 21) ^ (next(words) >> 11)) * 2.0**-53
    while True:
        u = 1 - uniform()
        yield math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * uniform())


def wave(count, phase):
    return torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + phase)


def filled(name, shape, number):
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    values = torch.sin(0.37 * i * i + float(number))  # less regular than a wave: rows of a weight are not alike
    if len(shape) == 5:
        values = values * math.sqrt(4.0 / (shape[0] * shape[2] * shape[3] * shape[4]))
    elif len(shape) == 2:
        values = values * math.sqrt(2.0 / shape[1])
    else:
        normalization = name.endswith(".weight")
        values = values * 0.2 + (1.0 if normalization else 0.0)
    return values.reshape(shape)


def clips(videos):
    """View a of all videos, then view b: colors -1 and 1, which the normalization below makes of bytes 0 and 255."""
    d, h, w, c = torch.meshgrid(*(torch.arange(n) for n in (FRAMES, SIZE, SIZE, 3)), indexing="ij")
    views = [((h // 3) * (video + 2) + (w // 4) * (view + 3) + 5 * c + 2 * d * (video % 3 + 1) + video * video) % 11 < 5
             for view in (0, 1) for video in videos]
    return (torch.stack(views).double() * 2 - 1).permute(0, 4, 1, 2, 3)


class Mcn(nn.Module):
    def __init__(self, arch, width):
        super().__init__()
        scaled = lambda channels: max(1, math.floor(channels * width + 0.5))
        conv, blocks = (Conv2Plus1D, 1) if arch == "r2plus1d_10" else (Conv3DSimple, 2)
        base, mid = scaled(64), scaled(45)
        if conv is Conv2Plus1D:
            self.stem = nn.Sequential(
                nn.Conv3d(3, mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False), nn.BatchNorm3d(mid),
                nn.ReLU(), nn.Conv3d(mid, base, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(base), nn.ReLU())
        else:
            self.stem = nn.Sequential(nn.Conv3d(3, base, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
                                      nn.BatchNorm3d(base), nn.ReLU())
        inputs = base
        for stage in range(4):
            outputs, layers = scaled(64 << stage), []
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                downsample = None
                if stride != 1 or inputs != outputs:
                    downsample = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride=(stride,) * 3, bias=False),
                                               nn.BatchNorm3d(outputs))
                layers.append(BasicBlock(inputs, outputs, conv, stride, downsample))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc_feat = nn.Linear(inputs, FEATURES)
        self.fcm = nn.Linear(2 * FEATURES, FEATURES)
        self.fc_meta = nn.Linear(FEATURES, 1)

    def forward(self, x):
        """z, and the logits of all pairs of a video's view a with a video's view b."""
        for part in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x = part(x)
        z = F.normalize(self.fc_feat(x.mean((2, 3, 4))), dim=1)
        a, b = z.chunk(2)
        a, b = a[:, None], b[None]
        pairs = FEATURES * torch.cat([a * b, (a - b) ** 2], dim=2)
        return z, self.fc_meta(torch.relu(self.fcm(pairs)))[..., 0]


def info_nce(anchors, keys, ids, bank, bank_ids):
    logits = anchors @ keys.T / TEMPERATURE
    if len(bank_ids) > 0:
        past = anchors @ bank.T / TEMPERATURE
        own = ids[:, None] == bank_ids[None]
        logits = torch.cat([logits, past.masked_fill(own, -math.inf)], dim=1)
    return F.cross_entropy(logits, torch.arange(len(anchors)))


def run(case):
    net = Mcn(case["arch"], case["width"]).double().train()
    for i, (n, p) in enumerate(net.named_parameters()):
        p.data = filled(n, tuple(p.shape), i)
    # A twin whose batch norms keep running statistics, as torch does; the passes of training do not touch them.
    tracking = Mcn(case["arch"], case["width"]).double().train()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm3d):
            m.track_running_stats = False
            m.running_mean = m.running_var = m.num_batches_tracked = None
    weights = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": weights, "weight_decay": case["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    if case["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=case["momentum"])
    else:
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(case["momentum"], case["beta2"]))
    bank, bank_ids = torch.zeros(0, FEATURES, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    if case["bank"] == "memory":
        numbers = normals(philox(SEED, 0xBA4C))
        bank = torch.tensor([[next(numbers) for _ in range(FEATURES)] for _ in range(VIDEOS)], dtype=torch.float64)
        bank, bank_ids = F.normalize(bank, dim=1), torch.arange(VIDEOS)
    put_next = 0

    def losses(parameters, videos):
        z, logits = functional_call(net, parameters, (clips(videos),))
        a, b = z.chunk(2)
        ids = torch.tensor(videos)
        contrastive = (info_nce(a, b, ids, bank, bank_ids) + info_nce(b, a, ids, bank, bank_ids)) / 2
        meta = F.binary_cross_entropy_with_logits(logits, torch.eye(len(videos), dtype=torch.float64),
                                                  pos_weight=torch.tensor(len(videos) - 1.0, dtype=torch.float64))
        return z.detach(), contrastive, meta, contrastive + LAMBDA * meta

    iterations = []
    for batch, rate in zip(BATCHES, case["rates"]):
        half = len(batch) // 2 if case["method"] == "mcn" else 0
        s, q = batch[:half], batch[half:]
        theta = dict(net.named_parameters())
        phi, row = theta, {"learning_rate": rate}
        for k in range(case["steps"]):
            z, contrastive, meta, loss = losses(phi, s)
            if k == 0:
                z_s, support = z, loss
                row |= {"support_loss": loss.item(), "support": [contrastive.item(), meta.item()]}
            g = torch.autograd.grad(loss, list(phi.values()), create_graph=True)
            phi = {n: p - INNER_LR * d for (n, p), d in zip(phi.items(), g)}
        z_q, contrastive, meta, query = losses(phi, q)
        row |= {"query_loss": query.item(), "query": [contrastive.item(), meta.item()]}
        outer = support + BETA * query if case["objective"] == "support+query" else query
        optimizer.zero_grad()
        outer.backward()
        row["gradient_norm"] = math.sqrt(sum((p.grad**2).sum().item() for p in net.parameters()))
        if case["clip"] > 0:
            scale = min(1.0, case["clip"] / row["gradient_norm"])
            for p in net.parameters():
                p.grad *= scale
        tracking.load_state_dict(net.state_dict(), strict=False)
        with torch.no_grad():
            tracking(clips(s if half else q))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        for videos, z in ([(s, z_s)] if half else []) + [(q, z_q)]:
            a, b = z.chunk(2)
            unit = F.normalize((a + b) / 2, dim=1)
            for video, feature in zip(videos, unit):
                if case["bank"] == "memory":
                    m = case["bank_momentum"]
                    bank = bank.clone()
                    bank[video] = F.normalize(m * bank[video] + (1 - m) * feature, dim=0)
                elif len(bank) < case["bank_size"]:
                    bank, bank_ids = torch.cat([bank, feature[None]]), torch.cat([bank_ids, torch.tensor([video])])
                    put_next = len(bank) % case["bank_size"]
                else:
                    bank, bank_ids = bank.clone(), bank_ids.clone()
                    bank[put_next], bank_ids[put_next] = feature, video
                    put_next = (put_next + 1) % case["bank_size"]
        iterations.append(row)

    def summary(name, values):
        flat = values.detach().flatten()
        return {"name": name, "norm": flat.norm().item(), "wave": (flat * wave(flat.numel(), 0.5)).sum().item(),
                "first": flat[0].item(), "last": flat[-1].item()}

    return case | {"iterations": iterations, "bank_rows": bank.tolist(), "bank_ids": bank_ids.tolist(),
                   "theta": [summary(n, p) for n, p in net.named_parameters()],
                   "running": [summary(n, b) for n, b in tracking.named_buffers() if not n.endswith("num_batches_tracked")]}


out = {"torch": torch.__version__.split("+")[0], "videos": VIDEOS, "frames": FRAMES, "size": SIZE, "features": FEATURES,
       "seed": SEED, "temperature": TEMPERATURE, "lambda": LAMBDA, "inner_lr": INNER_LR, "beta": BETA, "batches": BATCHES,
       "cases": [run(case) for case in CASES]}
pathlib.Path(__file__).with_name("training.json").write_text(json.dumps(out, indent=1) + "\n")
