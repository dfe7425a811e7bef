"""Medians of alternating runs."""

import statistics
import time
from collections.abc import Callable, Mapping


def medians(sides: Mapping[str, Callable[[], object]], repeats: int = 7) -> dict[str, float]:
    """Median seconds of each side; the sides take turns, so that a slow moment of the machine hits all of them."""
    for run in sides.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def show(title: str, found: Mapping[str, float], floor: str) -> None:
    """One line per side, with its ratio to the side that sets the measure."""
    print(title)
    for name, value in found.items():
        print(f"  {name:<24} {1000 * value:9.1f} ms   {value / found[floor]:5.2f} x {floor}")
