import pytest

from app.sandbox.stripe.errors import StripeRefusal
from app.sandbox.stripe.forms import CREATED, decode, merged, read

SPEC = {
    "amount!": int,
    "live": bool,
    "mode": ("a", "b"),
    "metadata": dict,
    "rows": [{"name!": str, "count": int}],
    "words": [str],
    "created": CREATED,
}


def test_brackets_nest():
    sent = "amount=5&rows[0][name]=x&rows[1][name]=y&rows[1][count]=2&words[]=p&words[]=q&metadata[k]=v&created[gte]=9"
    assert read(decode(sent), SPEC) == {
        "amount": 5,
        "rows": [{"name": "x"}, {"name": "y", "count": 2}],
        "words": ["p", "q"],
        "metadata": {"k": "v"},
        "created": {"gte": 9},
    }


def test_percent_signs_and_plus_signs_are_undone():
    assert decode("a%5Bb%5D=x+y%26z") == {"a": {"b": "x y&z"}}


def test_an_empty_text_unsets():
    assert read(decode("amount=1&mode=&words="), SPEC) == {"amount": 1, "mode": None, "words": []}
    assert merged({"a": "1", "b": "2"}, {"a": ""}) == {"b": "2"}


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        ("", "parameter_missing", "amount"),
        ("amount=", "parameter_missing", "amount"),
        ("amount=1&x=2", "parameter_unknown", "x"),
        ("amount=1&rows[0][x]=2&rows[0][name]=n", "parameter_unknown", "rows[0][x]"),
        ("amount=1&rows[0][count]=2", "parameter_missing", "rows[0][name]"),
        ("amount=1.5", "parameter_invalid_integer", "amount"),
        ("amount=1&live=yes", None, "live"),
        ("amount=1&mode=c", None, "mode"),
        ("amount[x]=1", None, "amount"),
        ("amount=1&metadata=x", None, "metadata"),
        ("amount=1&metadata[k][l]=x", None, "metadata"),
        ("amount=1&words=x", None, "words"),
        ("amount=1&rows[0]=x", None, "rows[0]"),
        ("amount=1&amount[x]=1", None, "amount[x]"),
        ("amount=1&created=soon", "parameter_invalid_integer", "created"),
    ],
)
def test_what_a_call_does_not_take_is_refused(sent, code, param):
    with pytest.raises(StripeRefusal) as caught:
        read(decode(sent), SPEC)
    error = caught.value.body["error"]
    assert (error.get("code"), error["param"], caught.value.status) == (code, param, 400)
