"""The real models: their size, and that they learn."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the models are PyTorch's")

from powertrain.workloads.nets import lstm, mobilenet, resnet, transformers, unet, yolo  # noqa: E402

# As published: torchvision, Ultralytics, Hugging Face (BERT base with a head for question answering), timm,
# and the PyTorch U-Net with batch normalisation. The LSTM's size is chosen; see its module.
PARAMETERS = {
    resnet.resnet18: 11_689_512,
    resnet.resnet50: 25_557_032,
    mobilenet.mobilenet_v3: 5_483_032,
    yolo.yolo: 3_157_200,
    transformers.bert: 108_893_186,
    transformers.vit: 22_050_664,
    unet.unet: 31_037_698,
    lstm.lstm: 8_618_670,
}
SMALL = {
    resnet.resnet18: {"side": 64},
    resnet.resnet50_cifar100: {"side": 16},
    mobilenet.mobilenet_v3: {"side": 64},
    yolo.yolo: {"side": 128},
    transformers.bert: {"tokens": 8},
    transformers.vit: {"side": 32},
    unet.unet: {"side": 32},
    lstm.lstm: {"tokens": 8},
}


def named(make):
    return make.__name__


@pytest.mark.parametrize("make", PARAMETERS, ids=named)
def test_a_model_has_as_many_parameters_as_published(make):
    with torch.device("meta"):
        model = make().model
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[make]


@pytest.mark.parametrize("make", SMALL, ids=named)
def test_training_on_one_minibatch_lowers_its_loss(make):
    torch.manual_seed(0)
    task = make(**SMALL[make])
    minibatch = task.draw(4, torch.Generator().manual_seed(0))
    losses = [float(task.step(minibatch)) for _ in range(3)]
    assert losses[2] < losses[0]


def test_the_same_generator_draws_the_same_minibatch():
    task = resnet.resnet50_cifar100()
    first, again = (task.draw(2, torch.Generator().manual_seed(5)) for _ in range(2))
    assert len(first) == 2  # pictures and what they show
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_detector_that_is_shown_no_box_has_only_the_background_to_lose():
    torch.manual_seed(0)
    task = yolo.yolo(side=64)
    pictures, boxes, kinds, present = task.draw(2, torch.Generator().manual_seed(0))
    minibatch = (pictures, boxes, kinds, torch.zeros_like(present))
    with_boxes = task.loss(task.model, (pictures, boxes, kinds, torch.ones_like(present))).item()
    losses = [float(task.step(minibatch)) for _ in range(3)]
    assert all(0 < loss < with_boxes for loss in losses)
