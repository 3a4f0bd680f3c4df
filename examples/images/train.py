"""Trains a small convolutional network on MNIST digits and writes it as TorchScript, with the rows that it was and was not trained on.

usage: train.py FOLDER_WITH_MNIST OUT EPOCHS [--noise STRENGTH]

FOLDER_WITH_MNIST holds mnist-t10k-images-idx3-ubyte.gz and mnist-t10k-labels-idx1-ubyte.gz: 10,000 images, of which 7,000 train.
"""

import argparse
import gzip
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

HELD_OUT = 3_000


def idx(path: Path) -> np.ndarray:
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("epochs", type=int)
    parser.add_argument("--noise", type=float, default=0.0, help="noise added to every training image")
    asked = parser.parse_args()
    images = idx(asked.data / "mnist-t10k-images-idx3-ubyte.gz").astype("float32")[:, None] / 255
    labels = idx(asked.data / "mnist-t10k-labels-idx1-ubyte.gz").astype("int64")
    order = np.random.default_rng(0).permutation(len(images))
    held_out, train = order[:HELD_OUT], order[HELD_OUT:]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = network()
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, y = torch.as_tensor(images[train]), torch.as_tensor(labels[train])
    for _ in range(asked.epochs):
        for part in torch.randperm(len(x)).split(128):
            adam.zero_grad()
            spoiled = (x[part] + asked.noise * torch.randn_like(x[part])).clamp(0, 1)
            nn.functional.cross_entropy(net(spoiled), y[part]).backward()
            adam.step()
    net.eval()
    asked.out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out; torch.export works here as well
        torch.jit.trace(net, torch.zeros(2, 1, 28, 28)).save(str(asked.out / "digits.pt"))
    data = Path("data")
    data.mkdir(exist_ok=True)
    for name, rows in (("train", train), ("test", held_out)):
        np.savez(data / f"{name}.npz", pixels=images[rows].reshape(len(rows), -1), label=labels[rows])
    right = (net(torch.as_tensor(images[held_out])).argmax(1).numpy() == labels[held_out]).mean()
    print(f"{len(train)} images, accuracy on {HELD_OUT} others {right:.3f}")


main()
