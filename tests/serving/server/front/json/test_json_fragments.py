import contextlib
import gc
import json
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_steps import tiny_steps

from serving.errors import Code, StatusError
from serving.server.calls.request_limits import Limits
from serving.server.calls.worker_threads import INLINE_BYTES
from serving.server.front.json.json_fragments import MAX_NAMES
from serving.server.front.json.json_parsing import parse_small, parsed_object
from serving.server.front.json.json_predict import decode_predict
from serving.server.front.json.json_splitting import CHUNK_BYTES, MAX_PLAIN_BYTES
from serving.server.front.json.json_strings import LongText, encoded
from serving.wire import dtypes

LIMITS = Limits()
FLOATS, STRINGS = {"x": dtypes.FLOAT}, {"x": dtypes.STRING}

NAMES = st.sampled_from(["a", "b", "", "\\", '"', "é", "😀", "[", "},"])
TEXTS = st.text(max_size=3) | st.sampled_from(
    ['\\"' * 9, "x" * 80, "\\" * 21, "é😀\n" * 12, "\ud83d".encode("utf-16", "surrogatepass").hex()]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
NOISE = [
    b"",
    b",",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b":",
    b"\xff",
    b"NaN",
    b" " * 9,
    b"\\u00e9",
    b'"a":1,',
    b"\x01",
]


def plain(value):
    """The value with strings as bytes and numbers as text, so that NaN equals NaN."""
    if isinstance(value, str | LongText):
        return encoded(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return repr(value)


def parsed_whole(text):
    try:
        return plain(parse_small(text, LIMITS))
    except StatusError as error:
        return error


def parsed_in_fragments(text, size):
    try:
        with tiny_steps(size), parsed_object(text, LIMITS) as value:
            return plain(value)
    except StatusError as error:
        return error


@settings(max_examples=150, deadline=None)
@given(VALUES, VALUES, st.sampled_from([14, 17, 32]), st.booleans(), st.sampled_from([None, 1]))
def test_fragments_give_the_same_value_as_the_whole_text(first, second, size, ascii_only, indent):
    text = json.dumps({"a": first, "b": second}, ensure_ascii=ascii_only, indent=indent).encode()
    assert parsed_in_fragments(text, size) == parsed_whole(text)


@settings(max_examples=150, deadline=None)
@given(
    VALUES, st.sampled_from([14, 17, 32]), st.lists(st.tuples(st.integers(0, 999), st.sampled_from(NOISE)), max_size=3)
)
def test_no_error_is_lost_between_fragments(value, size, noise):
    text = bytearray(json.dumps({"a": value, "b": [1, {"c": 2}]}).encode())
    for place, wrong in noise:
        place %= len(text)
        text[place : place + (not wrong)] = wrong
    whole, pieces = parsed_whole(bytes(text)), parsed_in_fragments(bytes(text), size)
    if isinstance(whole, StatusError):
        assert isinstance(pieces, StatusError)
        assert pieces.code is Code.INVALID_ARGUMENT
        pieces.message.encode()
    elif not isinstance(pieces, StatusError) or "A name of" not in pieces.message:
        assert pieces == whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": [1, 2, 3 4, 5, 6, 7, 8]}', "Missing a comma or ] after an array element. at offset: 15"),
        (b'{"a": [1, 2, 3, 4, 5, 6, 7, 8,]}', "Invalid value. at offset: 30"),
        (b'{"a": [                    , 7, 8]}', "Invalid value. at offset: 27"),
        (b'{"a": [1, 2, 3, 4, 5, 6, 7, 8}]}', "Missing a comma or ] after an array element. at offset: 29"),
        (b'{"a": [1, 2, 3, 4, 5, 6, 7, 8, {"b": 1,,}]}', "Missing a name for object member. at offset: 39"),
        (b'{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9', "Missing a comma or ] after an array element. at offset: 32"),
        (b'{"a": "' + b"x" * 99, "Missing a closing quotation mark in string. at offset: 6"),
        (b'{"a": "' + b"x" * 80 + b'\\q"}', "Invalid escape character in string. at offset: 87"),
        (b'{"a": "' + b"x" * 80 + b'\\ud800"}', "The surrogate pair in string is invalid. at offset: 0"),
        (b'{"a": 1"' + b"x" * 80 + b'"}', "Missing a comma or } after an object member. at offset: 8"),
        (b'{"a": ["' + b"x" * 80 + b'"e5]}', "Missing a comma or ] after an array element. at offset: 89"),
        (b'{"' + b"x" * 80 + b'": 1}', "A name of 80 bytes, which may have 14, at offset: 1"),
    ],
)
def test_an_error_in_a_fragment_has_its_offset_in_the_text(text, message):
    assert parsed_in_fragments(text, 14).message == f"JSON Parse error: {message}"


def test_an_object_continues_after_a_repeated_name():
    text = (
        b'{"a": [1, 2, 3, 4, 5, 6], "b": [7, 8, 9, 0, 1], "a": [9, 8, 7, 6, 5, 4], "": 1, "b": {"": 2, "c": "xxxxxxx"}}'
    )
    assert parsed_in_fragments(text, 14) == parsed_whole(text)


def test_a_document_is_emptied_and_garbage_collection_resumes():
    thresholds, body = gc.get_threshold(), b'{"a": [' + b"[1], " * INLINE_BYTES + b"{}]}"
    with parsed_object(body, LIMITS) as document:
        rows = document["a"]
        assert (len(rows), rows[-1]) == (INLINE_BYTES + 1, {})
        assert gc.get_threshold()[2] > thresholds[2]
    assert rows == []
    assert document == {}
    assert gc.get_threshold() == thresholds


@pytest.mark.parametrize(
    ("body", "infos", "words"),
    [
        (b'{"instances": [' + b"[]," * 3_000_000 + b"[]]}", FLOATS, "more than 4194304 values (--max_json_values)"),
        (b'{"instances": ' + b"[" * 200_000, FLOATS, "nested deeper than 64 levels (--max_json_depth)"),
        (b'{"instances": [' + b'"a",' * 80_000 + b'"a"]}', STRINGS, "80001 strings or more; at most 65536"),
        (b'{"instances": [' + b'{"b64": ""},' * 80_000 + b'"a"]}', STRINGS, "at most 65536 are allowed"),
        (b'{"instances": [' + b" " * 2 * MAX_PLAIN_BYTES + b"1]}", FLOATS, "bytes without a comma"),
        (b'{"instances": [' + b"7" * 2 * MAX_PLAIN_BYTES + b"1]}", FLOATS, "bytes without a comma"),
        (b'{"instances": [' + b"[]" * MAX_PLAIN_BYTES + b"1]}", FLOATS, "bytes without a comma"),
        (b'{"' + b"a" * 3 * CHUNK_BYTES + b'": 1}', FLOATS, "A name of 196608 bytes, which may have 65536"),
        (b"[" + b"1," * INLINE_BYTES + b"1]", FLOATS, "Is not object"),
        (b'"' + b"a" * 2 * INLINE_BYTES, FLOATS, "Missing a closing quotation mark in string"),
        (b" " * 3 * INLINE_BYTES, FLOATS, "The document is empty. at offset: 196608"),
    ],
    ids=lambda value: None if isinstance(value, bytes | dict) else value.replace(" ", "-"),
)
def test_excessive_documents_are_refused_with_a_bounded_message(body, infos, words):
    with pytest.raises(StatusError) as caught:
        decode_predict(body, lambda signature: infos, LIMITS)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert words in caught.value.message
    assert len(caught.value.message) < 2000


def test_objects_of_too_many_names_are_refused():
    body = json.dumps({"inputs": dict.fromkeys(map(str, range(MAX_NAMES + 10)), 1)}).encode()
    with pytest.raises(StatusError, match=f"An object has more than {MAX_NAMES} names"):
        decode_predict(body, lambda signature: FLOATS, LIMITS)


def test_large_strings_and_numbers_arrive_unchanged():
    text = "so good é 😀\n" * 20_000
    body = json.dumps({"instances": [text, {"b64": "YWFh" * 100_000}, text]}).encode()
    values = decode_predict(body, lambda signature: STRINGS, LIMITS)[1]["x"]
    assert values.tolist() == [text.encode(), b"aaa" * 100_000, text.encode()]
    rows = np.arange(300_000, dtype=np.float32).reshape(-1, 3)
    body = json.dumps({"instances": rows.tolist()}).encode()
    np.testing.assert_array_equal(decode_predict(body, lambda signature: FLOATS, LIMITS)[1]["x"], rows)
    wrong = body.replace(b"299999.0", b'"z"')
    with pytest.raises(StatusError, match=r'element: 99999 of .* JSON Value: "z" Type: String is not of expected type'):
        decode_predict(wrong, lambda signature: FLOATS, LIMITS)


def test_limits_hold_for_small_bodies():
    body = b'{"instances": [1.5, 2.5, 3.5]}'
    decode_predict(body, lambda signature: FLOATS, Limits(max_values=6, max_bytes=12))
    for limits, words in (
        (Limits(max_values=5), r"more than 5 values \(--max_json_values\)"),
        (Limits(max_bytes=11), r"tensors take 12 bytes or more; at most 11 are allowed \(--max_message_bytes\)"),
    ):
        with pytest.raises(StatusError, match=words):
            decode_predict(body, lambda signature: FLOATS, limits)


def test_arrays_are_charged_once_before_they_are_built():
    taken = []
    body = b'{"instances": [{"a": "so good", "b": 1}, {"a": {"b64": "AAE="}, "b": 2}]}'
    infos = {"b": dtypes.FLOAT, "a": dtypes.STRING}
    decode_predict(body, lambda signature: infos, Limits(take=lambda size, rows: taken.append((size, rows))))
    assert sum(rows for _, rows in taken) == 2
    assert 17 < sum(size for size, _ in taken) < 200


@pytest.mark.parametrize(
    ("body", "infos"),
    [
        (b'{"instances": [' + b"[]," * 700_000 + b"[]]}", FLOATS),
        (b'{"instances": [' + b"0.25," * 1_500_000 + b'"a"]}', FLOATS),
        (b'{"instances": [' + b'{"x": 1},' * 400_000 + b'{"x": 1}]}', FLOATS),
        (b'{"instances": ["' + b"\\u00e9" * 3_000_000 + b'"]}', STRINGS),
        (b'{"instances": ["' + b"\\\\" * 8_000_000 + b'"]}', STRINGS),
        (b'{"instances": ["' + b"\xff" * 20_000_000 + b'"]}', STRINGS),
    ],
    ids=["lists", "numbers", "objects", "escapes", "backslashes", "no UTF-8"],
)
def test_large_bodies_block_no_other_thread_for_long(body, infos):
    def work():
        with contextlib.suppress(StatusError):
            decode_predict(body, lambda signature: infos, LIMITS)

    thread, longest = threading.Thread(target=work), 0.0
    thread.start()
    # The thread's CPU time between two turns of this one, so that a busy machine has no effect.
    with contextlib.suppress(OSError):  # the thread has ended
        clock = time.pthread_getcpuclockid(thread.ident)
        while thread.is_alive():
            start = time.clock_gettime(clock)
            time.sleep(0.002)
            longest = max(longest, time.clock_gettime(clock) - start)
    thread.join()
    assert longest < 0.5  # measured: some hundredths


def test_decoding_ends_when_the_check_raises():
    class GoneError(Exception):
        pass

    calls = 0

    def check():
        nonlocal calls
        calls += 1
        if calls > 30:
            raise GoneError

    body = b'{"instances": [' + b"0.25," * 400_000 + b"1]}"
    with pytest.raises(GoneError):
        decode_predict(body, lambda signature: FLOATS, LIMITS, check=check)
    assert calls == 31
