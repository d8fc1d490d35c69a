"""Accuracy over all ranks: real processes, a real group, figures made by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from harness.ranks import run_ranks
from torch import Tensor, nn

from pet.config import get_base_cfg
from pet.engine.loader import make_test_data_loader
from pet.tasks.cls.batch import collate
from pet.tasks.cls.evaluate import evaluate

CPU = torch.device("cpu")


class Answers(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """Images [classes, 1, 1] that are already the logits that the model has to give."""

    def __init__(self, logits: Tensor, labels: list[int]) -> None:
        self.logits, self.labels = logits, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.logits[index].view(-1, 1, 1), self.labels[index], index


class Counting(nn.Flatten):
    """Images to logits; notes how many it saw, and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.modes = 0, set[tuple[bool, bool]]()

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        self.modes.add((self.training, torch.is_grad_enabled()))
        return super().forward(images)


def random_answers(size: int, classes: int) -> Answers:
    generator = torch.Generator().manual_seed(size * 100 + classes)
    labels = torch.randint(classes, (size,), generator=generator).tolist()
    return Answers(torch.randn(size, classes, generator=generator), labels)


def by_hand(answers: Answers) -> dict[str, float]:
    """A label's place is the number of classes with a larger logit."""
    places = [int((logits > logits[label]).sum()) for logits, label in zip(answers.logits, answers.labels, strict=True)]
    return {f"top{best}": sum(place < best for place in places) / len(places) for best in (1, 5)}


def one_rank(answers: Answers, model: nn.Module | None = None, batch_size: int = 3) -> dict[str, float]:
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(["DATA.LOADER_THREADS", 0, "MISC.DEVICE", "cpu", "TEST.IMS_PER_GPU", batch_size])
    return evaluate(model or nn.Flatten(), make_test_data_loader(cfg, answers, collate), CPU)


SIZES = [(1, 1), (1, 4), (2, 4), (7, 2), (8, 2), (9, 4), (50, 7)]  # of the data set, of a batch


def evaluated() -> list[tuple[dict[str, float], int]]:
    """For each of SIZES, what one rank gets and the number of samples that it saw itself."""
    results = []
    for size, batch_size in SIZES:
        model = Counting()
        results.append((one_rank(random_answers(size, 10), model, batch_size), model.seen))
    return results


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_each_sample_counts_once_for_any_number_of_ranks(world_size: int) -> None:
    ranks = run_ranks(evaluated, world_size) if world_size > 1 else [evaluated()]
    for (size, _), results in zip(SIZES, zip(*ranks, strict=True), strict=True):
        assert sum(seen for _, seen in results) == size
        assert [result for result, _ in results] == [by_hand(random_answers(size, 10))] * world_size


def test_top_1_and_top_5_of_known_logits() -> None:
    logits = torch.tensor([
        [9.0, 8, 7, 6, 5, 4, 3],
        [9.0, 8, 7, 6, 5, 4, 3],
        [9.0, 8, 7, 6, 5, 4, 3],
        [3.0, 4, 5, 6, 7, 8, 9],
    ])  # fmt: skip
    assert by_hand(Answers(logits, [0, 4, 5, 6])) == {"top1": 0.5, "top5": 0.75}
    assert one_rank(Answers(logits, [0, 4, 5, 6])) == {"top1": 0.5, "top5": 0.75}


@pytest.mark.parametrize("classes", [1, 2, 4, 5])
def test_with_up_to_five_classes_the_best_five_are_all(classes: int) -> None:
    result = one_rank(random_answers(20, classes))
    assert result == {"top1": by_hand(random_answers(20, classes))["top1"], "top5": 1.0}


def test_the_model_is_evaluated_without_gradients_and_put_back() -> None:
    model = Counting().train()
    one_rank(random_answers(10, 10), model)
    assert model.modes == {(False, False)}
    assert model.training


def test_a_loader_that_shows_a_sample_twice_is_refused() -> None:
    answers = random_answers(10, 10)
    twice: Any = torch.utils.data.DataLoader(answers, batch_size=4, sampler=[*range(10), 0])
    with pytest.raises(RuntimeError, match="saw 11 samples instead of 10"):
        evaluate(nn.Flatten(), twice, CPU)


def test_images_of_different_sizes_name_the_remedy() -> None:
    class Uneven(Answers):
        def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
            return torch.zeros(3, 4 + index, 4), 0, index

    with pytest.raises(ValueError, match="let the transforms end with a crop"):
        one_rank(Uneven(torch.zeros(2, 3), [0, 0]))
