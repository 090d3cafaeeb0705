"""What is wrong with a document's form, in plain words and with the place of it. Pure.

msgspec tells it by the text of its error alone. What is not recognized in there is passed on as it is.
"""

from __future__ import annotations

import re

_KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "datetime": "a date and time",
}
_FOUND = {**_KINDS, "int": "a number", "float": "a number with a fraction"}
_UNITS = {"str": "character(s)", "array": "item(s)"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_DATE = "a date and time with its offset from UTC, for instance 2026-01-31T12:00:00Z"

_PLACE = re.compile(r"(?P<what>.*) - at (?P<key>`key` in )?`\$\.?(?P<place>[^`]*)`", re.DOTALL)
_FIELD = re.compile(r"Object (?:contains (?P<unknown>unknown)|missing required) field `(?P<name>[^`]*)`")
_FOUND_OTHER = re.compile(r"Expected `(?P<kind>[^`]+)`, got `(?P<found>[^`]+)`")
_BOUND = re.compile(r"Expected `(?P<kind>\w+)`(?P<length> of length)? (?P<bound>[<>]=?) (?P<number>-?\d+)")
_FORM = re.compile(r"Expected `str` matching regex '(?P<form>.*)'", re.DOTALL)
_CHOICE = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_MALFORMED = re.compile(r"JSON is malformed: (?P<why>.*) \(byte (?P<byte>\d+)\)", re.DOTALL)
_TEXTS = {
    "Input data was truncated": "malformed JSON: it ends too early",
    "Number out of range": "a number is out of range",
    "Invalid RFC3339 encoded datetime": f"expected {_DATE}",
    "Expected `datetime` with a timezone component": f"expected {_DATE}",
}


def explain(error: Exception) -> str:
    """What is wrong, for instance ``field releases[0].name: expected a string, found a number``.

    Args:
        error: What decoding raised.
    """
    match error:
        case UnicodeDecodeError():
            return f"not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        case RecursionError():
            return "nested too deeply"
        case _:
            return _explain(str(error))


def _explain(text: str) -> str:
    found = _PLACE.fullmatch(text)
    place, what = (found["place"], found["what"]) if found else ("", text)
    field = _FIELD.fullmatch(what)
    if field is not None:
        place = f"{place}.{field['name']}".removeprefix(".")
        return f"field {place}: {'not known' if field['unknown'] else 'missing'}"
    words = _words(what)
    if not place:
        return words
    return f"a key of field {place}: {words}" if found and found["key"] else f"field {place}: {words}"


def _words(what: str) -> str:
    if found := _FOUND_OTHER.fullmatch(what):
        return f"expected {_any_of(found['kind'], _KINDS)}, found {_any_of(found['found'], _FOUND)}"
    if found := _BOUND.fullmatch(what):
        unit = f" {_UNITS.get(found['kind'], 'long')}" if found["length"] else ""
        return f"expected {_any_of(found['kind'], _KINDS)} of {_BOUNDS[found['bound']]} {found['number']}{unit}"
    if found := _FORM.fullmatch(what):
        form = found["form"].replace(r"\\Z", "$")  # Python's own spelling of the end
        return f"expected a string of the form {form}"
    if found := _CHOICE.fullmatch(what):
        return f"{found['value']} is not a value that may stand there"
    if found := _MALFORMED.fullmatch(what):
        return f"malformed JSON at byte {found['byte']}: {found['why']}"
    return _TEXTS.get(what, what)


def _any_of(kinds: str, names: dict[str, str]) -> str:
    return " or ".join(names.get(kind, kind) for kind in kinds.split(" | "))
