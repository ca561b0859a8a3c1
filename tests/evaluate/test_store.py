"""Results on disk: whole lines, and keys that change with what a result depends on."""

import json

from voxprior.evaluate.store import Store, key_of


def test_a_line_that_a_kill_cut_short_is_passed_over_and_spoils_nothing(tmp_path):
    """The next result must not be glued to half a line, or both would be lost."""
    store = Store(tmp_path / "deep" / "r.jsonl")
    store.append({"key": "a"})
    with store.path.open("a") as stream:
        stream.write('{"key": "b", "figures": {"psnr": 3')
    assert store.records() == [{"key": "a"}]
    store.append({"key": "c"})
    assert store.records() == [{"key": "a"}, {"key": "c"}]


def test_a_store_that_does_not_exist_is_empty(tmp_path):
    """The first run starts from nothing."""
    assert Store(tmp_path / "r.jsonl").records() == []


def test_every_record_is_one_line(tmp_path):
    """A name with a line break must not break the file."""
    store = Store(tmp_path / "r.jsonl")
    store.append({"label": "two\nlines", "value": 1.5})
    lines = store.path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"label": "two\nlines", "value": 1.5}]


def test_keys_do_not_depend_on_order_but_on_every_value():
    """Equal keys skip a case: a changed step count must not."""
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1, "b": [2]}) != key_of({"a": 1, "b": [3]})
