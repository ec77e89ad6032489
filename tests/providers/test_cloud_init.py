import base64
import json
import subprocess

from app.providers.cloud_init import user_data


def test_nothing_is_said_where_there_is_nothing_to_say():
    assert user_data({}) == {}


def test_values_reach_the_shell_unharmed():
    value = 'a\'b "c" $(touch x) `y`\n%d'
    first, _, document = user_data({"A": value})["user_data"].partition("\n")
    [file] = json.loads(document)["write_files"]
    script = base64.b64decode(file["content"]).decode() + 'printf %s "$A"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert (first, said) == ("#cloud-config", value)
