"""Progress in the terminal: bars on stderr while something takes long, nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from assay.surfaces.cli.session import Session


def is_shown(session: Session) -> bool:
    """Whether stderr is a terminal that a bar may be drawn on."""
    return sys.stderr.isatty() and not session.options.quiet


@contextmanager
def bars(session: Session) -> Iterator[Callable[[str, float, float], None]]:
    """Yields `update(name, done, total)`; total 0 means unknown. Each name gets a bar when it is first updated."""
    if not is_shown(session):
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True, no_color=session.options.no_color), transient=True
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def update(name: str, done: float, total: float) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name.ljust(28), total=None)
            progress.update(tasks[name], completed=done, total=total or None)

        yield update


@contextmanager
def hashing(session: Session, name: str) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told the bytes of each file as it is hashed; shows a count of bytes."""
    if not is_shown(session):
        yield lambda _: None
        return
    total = [0]

    def seen(size: int) -> None:
        total[0] += size
        if total[0] >= 100 << 20:
            print(f"\rhashing {name}: {total[0] / 1e9:.1f} GB", end="", file=sys.stderr, flush=True)

    yield seen
    if total[0] >= 100 << 20:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
