import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.pickles import UnsafePickle, load_refs

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(refs=st.lists(st.dictionaries(text, plain, max_size=4), max_size=3), protocol=st.integers(0, 5))
def test_plain_containers_come_back_whatever_the_protocol(tmp_path_factory, refs, protocol):
    path = tmp_path_factory.mktemp("pickles") / "refs(unc).p"
    path.write_bytes(pickle.dumps(refs, protocol=protocol))
    assert load_refs(path) == refs


PYTHON2 = {
    # what Python 2.7 writes for [{'sent': 'caf\xc3\xa9', u'raw': u'caf\xe9', 'ref_id': 7L, 'split': 'val'}]
    "protocol 0": b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xc3\\xa9'\np3\nsVraw\np4\nVcaf\xe9\np5\nsS'ref_id'\np6\nL7L\n"
    b"sS'split'\np7\nS'val'\np8\nsa.",
    "protocol 1": b"]q\x00}q\x01(U\x04sentq\x02U\x05caf\xc3\xa9q\x03X\x03\x00\x00\x00rawq\x04X\x05\x00\x00\x00"
    b"caf\xc3\xa9q\x05U\x06ref_idq\x06L7L\nU\x05splitq\x07T\x03\x00\x00\x00valq\x08ua.",
    "protocol 2": b"\x80\x02]q\x00}q\x01(U\x04sentq\x02U\x05caf\xc3\xa9q\x03X\x03\x00\x00\x00rawq\x04X\x05\x00\x00\x00"
    b"caf\xc3\xa9q\x05U\x06ref_idq\x06\x8a\x01\x07U\x05splitq\x07T\x03\x00\x00\x00valq\x08ua.",
}


@pytest.mark.parametrize("protocol", PYTHON2)
def test_python_2_text_and_longs(tmp_path, protocol):
    (tmp_path / "refs.p").write_bytes(PYTHON2[protocol])
    assert load_refs(tmp_path / "refs.p") == [{"sent": "café", "raw": "café", "ref_id": 7, "split": "val"}]


def test_python_2_bytes_that_are_no_utf8_are_latin_1(tmp_path):
    (tmp_path / "refs.p").write_bytes(b"\x80\x02]q\x00}q\x01U\x04sentq\x02U\x04caf\xe9q\x03sa.")
    assert load_refs(tmp_path / "refs.p") == [{"sent": "café"}]


def test_bytes_of_python_3_are_read(tmp_path):
    (tmp_path / "refs.p").write_bytes(pickle.dumps([{"sent": b"cup"}], protocol=3))
    assert load_refs(tmp_path / "refs.p") == [{"sent": b"cup"}]


class Shell:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, protocol):
    path = tmp_path / "refs(unc).p"
    trace = tmp_path / "was_run"
    path.write_bytes(pickle.dumps([{"sent": Shell(f"touch {trace}")}], protocol=protocol))
    with pytest.raises(UnsafePickle) as error:
        load_refs(path)
    assert not trace.exists()
    assert str(path) in str(error.value) and f"{os.system.__module__}.system" in str(error.value)
    assert "\n" not in str(error.value)
    pickle.loads(path.read_bytes())  # the test's own pickle does run code, when it is let
    assert trace.exists()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"(lp0\n(S'true'\nios\nsystem\na.", "os.system"),  # INST, an opcode of protocol 0 only
        (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
        (pickle.dumps([{"ref_id": np.int64(3)}], protocol=2), "numpy"),
        (pickle.dumps([{"split": {1}}], protocol=2), "__builtin__.set"),
    ],
)
def test_every_other_global_is_refused_by_name(tmp_path, data, named):
    (tmp_path / "refs.p").write_bytes(data)
    with pytest.raises(UnsafePickle, match=named):
        load_refs(tmp_path / "refs.p")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pickle.dumps([{"sent": "red cup"}] * 9)[:-12],
        b"\x80\x02P1\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # an extension code
        b"<html>404</html>",
        pickle.dumps({"sent": "red cup"}),
        pickle.dumps(["red cup"]),
    ],
)
def test_a_damaged_or_foreign_file_is_named(tmp_path, data):
    (tmp_path / "refs(unc).p").write_bytes(data)
    with pytest.raises(DataError, match=r"refs\(unc\)\.p") as error:
        load_refs(tmp_path / "refs(unc).p")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.p: no such file"):
        load_refs(tmp_path / "absent.p")
