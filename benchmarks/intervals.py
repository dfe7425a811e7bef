"""How often intervals cover the truth: ``python -m benchmarks.intervals`` prints the tables of docs/intervals.md."""

import torch

from tests.support.interval_coverage import POPULATIONS, kernel_coverage, mean_coverage, numerical


def main() -> None:
    torch.set_num_threads(1)
    print("| matrix | quantity | covered | truth | error | half width / error |\n|---|---|---|---|---|---|")
    for name, quantity, c in numerical():
        covered = "exact" if c.nearly_exact else f"{c.share:.1%}"
        ratio = "" if c.nearly_exact else f"{c.half_width / c.error:.2f}"
        print(f"| {name} | {quantity} | {covered} | {c.truth:.4g} | {c.error:.1e} | {ratio} |", flush=True)
    print("\n| quantity | n | covered |\n|---|---|---|")
    for n in (8, 16, 32, 64):
        shares = {f"mean, {name}": mean_coverage(name, n) for name in POPULATIONS}
        for name, share in (shares | kernel_coverage(n)).items():
            print(f"| {name} | {n} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
