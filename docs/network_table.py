"""Write the README's table of networks from the registry; ``--check`` only says whether it is current."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
CARDS = Path(__file__).parent / "models"
BEGIN, END = "<!-- networks: begin -->", "<!-- networks: end -->"
CLASS_WORDS = {"ggo": "ground-glass", "infection": "infection"}
GRAIN_WORDS = {"slice": "one slice", "patch": "3-D blocks"}


def table() -> str:
    """Return the table as Markdown, from ``covseg networks --json``."""
    command = [sys.executable, "-m", "napari_covseg", "networks", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    rows = [
        "| network | paper | sees | the paper's classes | parameters, paper | compact | trained weights |",
        "|---|---|---|---|---|---|---|",
    ]
    for network in found["networks"]:
        counts = (f"{network['parameters'][width]:,}".replace(",", " ") for width in ("paper", "compact"))
        shipped = [c["name"] for c in network["checkpoints"] if (CARDS / f"{c['name']}.md").exists()]
        weights = ", ".join(f"[yes](docs/models/{name}.md)" for name in shipped) or "not yet"
        classes = ", ".join(CLASS_WORDS.get(name, name) for name in network["classes"])
        cells = (network["title"], network["paper"], GRAIN_WORDS[network["grain"]], classes, *counts, weights)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> int:
    """Write or check; return the exit code."""
    text = README.read_text("utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    current = f"{head}{BEGIN}\n{table()}\n{END}{tail}"
    if "--check" in sys.argv:
        return int(current != text)
    README.write_text(current, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
