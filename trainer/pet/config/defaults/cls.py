"""What the classification script (`tasks/cls`) needs on top of the common keys, and its own defaults.

Every key and default here is our choice: the original's are not documented.
"""

from __future__ import annotations

from typing import Literal

from pet.config.defaults.common import PIXELS
from pet.config.schema import Declaration, Key

# Applied in the given order to uint8 images; the conversion to float and the normalisation by DATA.PIXEL_MEAN and
# PIXEL_STD come after them, always.
TrainTransform = Literal[
    "resize", "center_crop", "random_crop", "random_resized_crop", "horizontal_flip", "color_jitter", "auto_aug"
]
TestTransform = Literal["resize", "center_crop"]

# What pet.models.backbones registers, as data: a job is checked without torch.
BACKBONES = (
    "slim_resnet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip

KEYS: Declaration = {
    "DATA": {
        "DATASET_TYPE": Key(
            "image_folder_dataset",
            Literal["image_folder_dataset", "mnist_dataset", "cifar_dataset"],
            "how the images lie on disk: folders per class, MNIST idx files, CIFAR python batches",
        ),
        # ImageNet's statistics of RGB values from 0 to 1, which torchvision's weights expect.
        "PIXEL_MEAN": Key((0.485, 0.456, 0.406), tuple[float, ...], "subtracted from each channel, in FORMAT.IMAGE"),
        "PIXEL_STD": Key((0.229, 0.224, 0.225), tuple[float, ...], "divides each channel afterwards"),
        "FORMAT": {
            "IMAGE": Key(
                "rgb",
                Literal["bgr255", "rgb255", "bgr", "rgb"],
                "order and scale of the channels: 0 to 255, or 0 to 1; one-channel images have only a scale",
            ),
        },
    },
    "TRAIN": {
        "TRANSFORMS": Key(
            ("random_resized_crop", "horizontal_flip"),
            tuple[TrainTransform, ...],
            "augmentation of training images, in this order",
        ),
        "RESIZE": {
            "SCALES": Key(
                (224,),
                tuple[int, ...],
                "resize: shorter side in pixels, one drawn per image; the first is"
                " the size that the analyser counts FLOPs at where nothing crops",
                minimum=1,
                maximum=PIXELS,
            ),
        },
        "RANDOM_CROP": {
            "CROP_SCALES": Key(
                ((32, 32),),
                tuple[tuple[int, int], ...],
                "random_crop: one (height, width) in pixels",
                minimum=1,
                maximum=PIXELS,
            ),
            "BORDER": Key(
                4, int, "random_crop: zero padding on each side before the crop, in pixels", minimum=0, maximum=PIXELS
            ),
        },
        "RANDOM_RESIZED_CROP": {
            "SIZE": Key(
                (224, 224),
                tuple[int, int],
                "random_resized_crop: (height, width) afterwards",
                minimum=1,
                maximum=PIXELS,
            ),
            "SCALE": Key(
                (0.08, 1.0), tuple[float, float], "random_resized_crop: share of the image's area", minimum=0, maximum=1
            ),
            "RATIO": Key((0.75, 4 / 3), tuple[float, float], "random_resized_crop: width over height", minimum=0),
        },
        "MIXUP": {"ALPHA": Key(0.0, float, "mixup: both parameters of the Beta distribution; 0 = off", minimum=0)},
        "CUTMIX": {
            "ALPHA": Key(0.0, float, "cutmix: the same; with both on, each batch takes one of them by lot", minimum=0)
        },
    },
    "TEST": {
        "TRANSFORMS": Key(("resize", "center_crop"), tuple[TestTransform, ...], "of test images, in this order"),
        "RESIZE": {"SCALE": Key(256, int, "resize: shorter side in pixels", minimum=1, maximum=PIXELS)},
        "CENTER_CROP": {
            "CROP_SCALES": Key(
                (224, 224), tuple[int, int], "center_crop: (height, width) in pixels", minimum=1, maximum=PIXELS
            ),
        },
    },
    "MODEL": {
        "BACKBONE": Key("resnet50", str, "of the backbone registry: slim_resnet, or one of torchvision's ResNets"),
        "NUM_CLASSES": Key(
            1000, int, "classes that the head tells apart; must be those of the data set", minimum=1, maximum=10**6
        ),
        "IN_CHANNELS": Key(3, Literal[1, 3], "channels of an image: 3, or 1 for greyscale"),
        "LABEL_SMOOTHING": Key(
            0.0, float, "share of the target that is spread evenly over all classes", minimum=0, maximum=1
        ),
        "SLIM_RESNET": {
            "WIDTHS": Key(
                (16, 32, 64, 128), tuple[int, ...], "slim_resnet: channels of each stage", minimum=1, maximum=8192
            ),
            "BLOCKS": Key(
                (1, 1, 1, 1), tuple[int, ...], "slim_resnet: basic blocks of each stage", minimum=1, maximum=1000
            ),
        },
    },
}
