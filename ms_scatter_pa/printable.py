"""Text from elsewhere as a terminal and an SVG may show it. Standard library only."""

LONGEST = 200


def printable(text: str, length: int = LONGEST) -> str:
    """``text`` with escapes in place of what is not printed but obeyed: control characters, directions, surrogates."""
    cut = text if len(text) <= length else text[: length - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
