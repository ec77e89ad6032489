import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.machines.authorized_keys import BEGIN, END, set_authorized_keys, with_managed_keys
from app.machines.public_keys import MalformedKey
from app.machines.shell import AuthRefused

FOREIGN = st.lists(st.sampled_from(["ssh-ed25519 AAAA platform", "# a remark", "", "  spaced", "garbage \udcff"]))
KEYS = st.lists(st.sampled_from(["ssh-ed25519 BBBB one", "ssh-ed25519 CCCC two"]), unique=True)


def lines(text):
    return "".join(f"{line}\n" for line in text)


@given(FOREIGN, FOREIGN, KEYS, KEYS)
def test_block_is_replaced_and_other_lines_stay(before, after, old, new):
    text = lines([*before, BEGIN, *old, END, *after])
    once = with_managed_keys(text, new)
    assert with_managed_keys(once, new) == once
    assert with_managed_keys(once, []) == lines([*before, *after])
    assert (once == lines([*before, *after, BEGIN, *new, END])) is bool(new)


@given(FOREIGN, FOREIGN)
def test_block_without_an_end_costs_no_foreign_line(before, after):
    assert with_managed_keys(lines([*before, BEGIN, *after]), []) == lines([*before, *after])
    assert with_managed_keys(lines([*before, END, *after]), []) == lines([*before, *after])


async def test_customers_log_in_exactly_while_their_key_is_set(tmp_path, running, shell_on):
    ada, bob = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    ada_line, bob_line = (key.export_public_key().decode() for key in (ada, bob))
    async with running(tmp_path / "a") as host:

        async def enters(key):
            try:
                async with shell_on(host, key=key) as guest:
                    return (await guest.run("true")).status == 0
            except AuthRefused:
                return False

        async with shell_on(host) as shell:
            for keys, expected in [
                ([ada_line], (True, False)),
                ([ada_line, bob_line, ada_line], (True, True)),
                ([bob_line], (False, True)),
                ([bob_line], (False, True)),
                ([], (False, False)),
            ]:
                await set_authorized_keys(shell, keys)
                assert (await enters(ada), await enters(bob)) == expected
        async with shell_on(host):
            """The platform's key still opens the machine."""


async def test_file_and_folder_are_made_where_missing(tmp_path, running, shell_on):
    line = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await shell.run("rm -r .ssh")
        await set_authorized_keys(shell, [line])
        assert (await shell.run("cat .ssh/authorized_keys")).text == f"{BEGIN}\n{line.strip()}\n{END}\n"
        assert (await shell.run("stat -c %a .ssh .ssh/authorized_keys")).stdout == b"700\n600\n"


async def test_line_that_is_no_key_never_reaches_the_machine(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        before = (await shell.run("cat .ssh/authorized_keys")).text
        with pytest.raises(MalformedKey):
            await set_authorized_keys(shell, ['command="x" ssh-ed25519 AAAA'])
        assert (await shell.run("cat .ssh/authorized_keys")).text == before
