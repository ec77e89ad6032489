"""The customer's public keys on a machine: a block of ``authorized_keys`` that is ours, and nothing else of it."""

from __future__ import annotations

from collections.abc import Sequence

from app.machines.public_keys import parse_public_key
from app.machines.shell import Shell, ShellError

BEGIN = "# hourglass begin"
END = "# hourglass end"
_FILE = ".ssh/authorized_keys"
_MISSING = 3


def with_managed_keys(text: str, keys: Sequence[str]) -> str:
    """Return the file's text with exactly these keys in our block; other lines stay as they are, in their order.

    A block without an end is taken for its first line alone, so that no foreign key is lost with it.
    """
    lines = text.splitlines()
    kept: list[str] = []
    index = 0
    while index < len(lines):
        if lines[index].strip() == BEGIN and END in (stripped := [line.strip() for line in lines[index:]]):
            index += stripped.index(END) + 1
            continue
        if lines[index].strip() not in {BEGIN, END}:
            kept.append(lines[index])
        index += 1
    block = [BEGIN, *keys, END] if keys else []
    return "".join(f"{line}\n" for line in [*kept, *block])


async def set_authorized_keys(shell: Shell, keys: Sequence[str]) -> None:
    """Let exactly these customer keys log in, besides whatever stands outside our block (the platform's key).

    Harmless twice; the file is replaced as a whole or not at all.

    Raises:
        WeakKey, MalformedKey: a key that may not be installed.
        ShellError: the machine can't be reached or can't read or write the file.
    """
    lines = list(dict.fromkeys(parse_public_key(key).text for key in keys))
    answer = await shell.run(f"cd && if [ -e {_FILE} ]; then exec cat {_FILE}; else exit {_MISSING}; fi")
    if answer.status not in {0, _MISSING}:
        raise ShellError("the machine could not read its authorized keys")
    before = answer.stdout.decode(errors="surrogateescape")
    after = with_managed_keys(before, lines)
    if after != before:
        await shell.write_file(_FILE, after.encode(errors="surrogateescape"))
