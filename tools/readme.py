"""README's examples, for everything that runs them."""

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def examples() -> str:
    """Its blocks of Python, which make one program."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
