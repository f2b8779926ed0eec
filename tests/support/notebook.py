"""Runs the code of a notebook as a kernel does: `python notebook.py FILE`.

Prints what each cell prints, and the HTML or else the text of its last expression.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
from pathlib import Path
from typing import Any


async def run_notebook(path: Path) -> None:
    """Run the code cells in their order, in one namespace. What they raise comes out."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            await run_cell("".join(cell["source"]), cell["id"], names)


async def run_cell(source: str, name: str, names: dict[str, Any]) -> None:
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    await run_code(tree, name, names, mode="exec")
    if isinstance(last, ast.Expr):
        value = await run_code(ast.Expression(last.value), name, names, mode="eval")
        if value is not None:
            shown = value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)
            sys.stdout.write(f"{shown}\n")


async def run_code(tree: Any, name: str, names: dict[str, Any], *, mode: str) -> Any:
    code = compile(tree, f"<cell {name}>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, names)
    return await value if inspect.iscoroutine(value) else value


if __name__ == "__main__":
    asyncio.run(run_notebook(Path(sys.argv[1])))
