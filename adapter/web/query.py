"""The query string as structured parameters: arrays in four spellings, objects as `name[key]=value`.

a=x&a=y   a[]=x&a[]=y   a[0]=x&a[1]=y   a=x,y (split by whoever knows the parameter)   ->  {"a": ["x", "y"]}
o[k]=v                                                                                ->  {"o": {"k": ["v"]}}
"""

import re
from typing import Any
from urllib.parse import parse_qsl

from adapter.errors import InvalidParameter

MAX_PARAMETERS = 200
_NAME = re.compile(r"^(?P<name>[^\[\]]+)(?:\[(?P<key>[^\[\]]*)\])?(?P<again>\[(?:\d*)\])?$")


def parse_query(raw: bytes) -> dict[str, Any]:
    """Parameter name -> list of values, or mapping of key -> list of values; InvalidParameter for what is neither."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except ValueError:
        raise InvalidParameter("The query string can't be read: percent-encode it as UTF-8.") from None
    params: dict[str, Any] = {}
    for name, value in pairs:
        _add(params, name, value)
    return params


def _add(params: dict[str, Any], written: str, value: str) -> None:
    match = _NAME.match(written)
    if match is None:
        raise InvalidParameter(f"`{written}` is no parameter name.", details=[{"where": "query", "name": written}])
    name, key = match["name"], match["key"]
    if not key or key.isdigit():
        _values(params, name, list, written).append(value)
    else:
        _values(params, name, dict, written).setdefault(key, []).append(value)


def _values(params: dict[str, Any], name: str, kind: type, written: str) -> Any:
    held = params.setdefault(name, kind())
    if not isinstance(held, kind):
        raise InvalidParameter(
            f"`{name}` is given both as values and as an object.", details=[{"where": "query", "name": written}]
        )
    return held
