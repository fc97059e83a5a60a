# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A photograph without a clean twin, and a claim that is too good
#
# Two stories about proof. First a noisy photograph is cleaned, and we judge the result as
# one must in practice: without the clean one. Then a network seems to gain from noise, and
# an audit finds where the gain comes from.
#
# Nothing is downloaded; it takes less than a minute on one core.

# %%
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import TensorDataset

import noisewise
from noisewise.measure import psnr
from noisewise.noise import OptimalQ
from noisewise.studies import audit
from noisewise.surgery import inject

# %% [markdown]
# ## A noisy photograph
#
# The lighthouse that ships with the package, as a small sensor sees it at a high ISO. From
# here on the clean photograph is put aside.

# %%
with Image.open(files("noisewise.demo") / "assets/lighthouse.png") as photograph:
    truth = (
        torch.from_numpy(np.array(photograph)[100:356, 300:556]).movedim(-1, 0)[None] / 255
    )
camera = noisewise.parse_noise("camera:gain=1.2,sigma=1.5+jpeg:quality=92")
noisy = camera(truth, generator=torch.Generator().manual_seed(0)).clamp(0, 1)

found = noisewise.diagnose(noisy)
print("\n".join(found.lines()))

# %% [markdown]
# ## Cleaned, and judged without the truth
#
# The residual is what was taken away. If it shows windows, rails and rocks, too much was;
# the eye is a good judge of that, so it is enlarged here. The calm shape of the tower is
# another thing: white was cut off there, and its noise with it.

# %%
result = noisewise.denoise(noisy)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6))
shown = {
    "noisy": noisy[0],
    "clean": result.image[0],
    "residual, four times": 0.5 + 4 * result.residual[0],
}
for axis, (title, picture) in zip(axes, shown.items(), strict=True):
    axis.imshow(picture.clamp(0, 1).movedim(0, -1))
    axis.set_title(title)
    axis.axis("off")
figure.tight_layout()
plt.show()

# %% [markdown]
# Now the clean photograph may come back, for we were lucky enough to have one:

# %%
print(f"noisy    {psnr(noisy, truth).item():.2f} dB")
print(f"cleaned  {psnr(result.image, truth).item():.2f} dB")

# %% [markdown]
# ## A claim that is too good
#
# A small network reads scanned digits. Then *optimal* noise of the Positive Noise paper is
# put into its last block, at test time, with no training. The digits lie in folders, one
# for each class, and are read as they lie, ten at a time.

# %%
digits = np.load(files("noisewise.demo") / "assets/digits.npz")
images = torch.from_numpy(digits["images"]).float()[:, None] / 8 - 1
images = F.interpolate(images, size=32, mode="bicubic").expand(-1, 3, -1, -1)
labels = torch.from_numpy(digits["labels"]).long()

torch.manual_seed(0)
model = timm.create_model("test_resnet", num_classes=10)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for batch in torch.randperm(1200).split(30):  # once: something is left to gain
    optimizer.zero_grad()
    F.cross_entropy(model(images[batch]), labels[batch]).backward()
    optimizer.step()
model = model.eval()

by_class = 1200 + labels[1200:].argsort(stable=True)
folders = TensorDataset(images[by_class], labels[by_class])


@torch.inference_mode()
def accuracy(order):
    """Top-1 in percent, in batches of ten, in this order."""
    hits = [
        (model(images[batch]).argmax(1) == labels[batch]).float()
        for batch in order.split(10)
    ]
    return 100 * torch.cat(hits).mean().item()


print(f"without noise  {accuracy(by_class):.1f} %")
with inject(model, {"last": OptimalQ()}, when="test", allow_batch_mixing=True):
    print(f"with noise     {accuracy(by_class):.1f} %")

# %% [markdown]
# ## The audit
#
# It asks for the same pictures in other orders and other batches, and swaps the batch mates
# of some.

# %%
with inject(model, {"last": OptimalQ()}, when="test", allow_batch_mixing=True):
    report = audit(model, folders, batch_sizes=(1, 10))
print(f"{'order':14} {'batch':>5} {'top-1 in %':>10} {'purity in %':>11}")
for row in report.table:
    purity = "-" if row["purity"] is None else f"{row['purity']:.1f}"
    print(f"{row['order']:14} {row['batch_size']:5} {row['accuracy']:10.1f} {purity:>11}")
print("depends on the batch:", report.order_dependent)

# %%
report.plot().figure

# %% [markdown]
# The noise replaces every sample by a mean over its batch. In folders the batch shows one
# digit, and ten looks at a seven are better than one; shuffled, a seven is read among nine
# strangers. One at a time there is nothing to mix, and the figure is that of the network. A
# figure that needs its neighbours' labels is no achievement, however it is called.
#
# What of this remains in honest orders, in training and within groups that are known to
# show one thing, is measured on [the page of Positive Noise](../docs/positive-noise.md).
