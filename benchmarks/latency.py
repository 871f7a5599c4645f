"""Latency: forward passes of a dense model against students that lost units or layers.

The share is (dense time / student's time) / (dense FLOPs / student's FLOPs), in CPU time. It is 1 if time falls as much
as the number of operations. FLOPs count all tokens in all layers, although a pruned student's last layer computes the
first token only. The default is one thread, because with several threads CPU time includes their waiting.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable

import torch
from torch.utils.benchmark import Timer
from transformers import PreTrainedModel

from benchmarks.measuring import Sample, alternate, header, matrix_rate, ratio_line, ratios, stopwatch
from benchmarks.models import SIZES, random_classifier, uneven_student
from pipeline.results.measure import count_flops
from stark.encoders.layer_dropping import drop_layers

__all__ = ["DENSE", "main", "students_of"]

DENSE = "dense"
_SPARSITIES = (0.5, 0.7, 0.9)
_SECONDS = 0.3


def students_of(dense: PreTrainedModel) -> dict[str, PreTrainedModel]:
    """The dense model and the students that are compared with it.

    Args:
        dense: The dense model.

    Returns:
        Models by name, the dense model first.
    """
    layers = dense.config.num_hidden_layers
    kept = max(layers // 3, 2)
    return {
        DENSE: dense,
        **{f"sparsity_{sparsity:g}": uneven_student(dense, sparsity) for sparsity in _SPARSITIES},
        f"layers_{kept}_of_{layers}": drop_layers(copy.deepcopy(dense), kept),
    }


def _forward(model: PreTrainedModel, rows: int, length: int, threads: int) -> Callable[[], Sample]:
    """A way for `alternate`: seconds per forward pass, as the mean over the passes of about `_SECONDS` seconds."""
    inputs = torch.randint(1000, 30000, (rows, length), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}
    names = {"model": model, "batch": batch, "inference": torch.inference_mode}
    timer = Timer("with inference(): model(**batch)", globals=names, num_threads=threads)
    calls = max(int(_SECONDS / timer.timeit(2).median), 2)

    def way() -> Sample:
        with stopwatch() as sample:
            timer.timeit(calls)
        # The timer makes one more call first, to warm up.
        return Sample(sample.wall / (calls + 1), sample.cpu / (calls + 1))

    return way


def main() -> None:
    """Measure all students, batch sizes and lengths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="mini", choices=list(SIZES))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(header(options.threads), flush=True)
    models = students_of(random_classifier(options.size))
    peak = matrix_rate(torch.float32, options.threads)
    lines = []
    for length in options.lengths:
        for rows in options.batches:
            flops = {name: count_flops(model, rows, length) for name, model in models.items()}
            ways = {name: _forward(model, rows, length, options.threads) for name, model in models.items()}
            samples = alternate(ways, options.rounds)
            print(f"\nbatch {rows}, length {length}")
            dense = [sample.cpu for sample in samples[DENSE]]
            for name, found in samples.items():
                faster = ratios(dense, [sample.cpu for sample in found])
                fewer = flops[DENSE] / flops[name]
                wall = statistics.median(sample.wall for sample in found)
                print(
                    f"{name:16} {1000 * wall:9.2f} ms  {rows / wall:8.1f} rows/s  {flops[name] / wall / peak:4.0%} of "
                    f"peak  faster {statistics.median(faster):5.2f}  fewer FLOPs {fewer:5.2f}  share "
                    f"{statistics.median(faster) / fewer:.2f}",
                    flush=True,
                )
                if name != DENSE and length == max(options.lengths):
                    line = f"latency/{options.size}/{name}/batch_{rows}"
                    lines.append(ratio_line(line, faster))
                    lines.append(ratio_line(f"{line}/share_of_flops", [value / fewer for value in faster]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
