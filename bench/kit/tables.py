"""A small table of ratios.

Owns: how figures are printed. Does not own: the figures.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.kit.processes import machine


def show(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the machine, then the rows in columns."""
    cells = [[_cell(value) for value in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    print(f"\n{title}\n({machine()})", flush=True)
    for number, row in enumerate(cells):
        print(
            "  "
            + "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print(flush=True)


def verdict(name: str, value: float, *, at_least: float | None = None, below: float | None = None) -> str:
    """`name 0.84 (target >= 0.80: met)`."""
    met = value >= at_least if at_least is not None else below is not None and value < below
    target = f">= {at_least:g}" if at_least is not None else f"< {below:g}"
    return f"  {name}: {value:.2f} (target {target}: {'met' if met else 'MISSED'})"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
    return str(value)
