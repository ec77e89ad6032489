"""What Stripe's own sample objects have, the sandbox's have too: the fields of each kind, and the JSON type of each.

The table holds names and types only, as read from the sample objects that Stripe publishes beside its API's description.
"""

import json
from pathlib import Path

FIELDS = json.loads((Path(__file__).parent / "sample_fields.json").read_text(encoding="utf-8"))
TYPES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object", type(None): "null"}
ONLY_WHEN_EXPANDED = {("charge", "refunds")}


def differences(kind, obj):
    """Return the fields of a sample that an object lacks, or has with another type. Null goes with everything."""
    lacks = {name for name in FIELDS[kind] if name not in obj and (kind, name) not in ONLY_WHEN_EXPANDED}
    other = {
        name
        for name, sample in FIELDS[kind].items()
        if name in obj and "null" not in {sample, TYPES[type(obj[name])]} and sample != TYPES[type(obj[name])]
    }
    return {"lacks": sorted(lacks), "other": sorted(other)}


async def test_every_kind_has_what_stripes_samples_have(samples):
    assert {kind: differences(kind, obj) for kind, obj in samples.items()} == {
        kind: {"lacks": [], "other": []} for kind in FIELDS
    }


async def test_a_field_that_is_missing_or_of_another_type_is_found(samples):
    for kind, obj in samples.items():
        for name, sample in FIELDS[kind].items():
            if name not in obj:
                continue
            assert differences(kind, {key: value for key, value in obj.items() if key != name})["lacks"] == [name]
            if "null" not in {sample, TYPES[type(obj[name])]}:
                spoilt = 7 if sample != "integer" else "seven"
                assert differences(kind, {**obj, name: spoilt})["other"] == [name]
