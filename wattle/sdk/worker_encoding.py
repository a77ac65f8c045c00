"""What crosses the bus between workers, as bytes with the name of their encoding.

| data                               | encoding                               | arrives as                     |
|------------------------------------|----------------------------------------|--------------------------------|
| bytes, bytearray, memoryview       | `application/octet-stream`             | bytes                          |
| a table or batch of pyarrow        | `application/vnd.apache.arrow.stream`  | `pyarrow.Table`                |
| everything else that JSON can hold | `application/json`                     | what JSON says                 |
| (other languages) text             | `text/plain`, `zenoh/string`           | str                            |
| (the end of a stream, no data)     | `application/x-wattle-end`             | the subscription ends          |

Laws: what is sent is what arrives, or sending it is refused. Any other encoding arrives as bytes. pyarrow is imported
when its data comes, and not before.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from wattle.core.errors import InvalidRequest
from wattle.sdk.worker_errors import BadMessage
from wattle.sdk.worker_values import to_json

JSON = "application/json"
BYTES = "application/octet-stream"
ARROW = "application/vnd.apache.arrow.stream"
END = "application/x-wattle-end"
_TEXTS = frozenset({"text/plain", "zenoh/string"})


def encode(data: Any, name: str) -> tuple[bytes, str]:
    """The bytes of some data, and their encoding. `name` is for the error.

    Raises:
        NotJson: the message names the place that JSON cannot hold.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), BYTES
    if type(data).__module__.partition(".")[0] == "pyarrow" and hasattr(data, "schema"):
        return _from_arrow(data), ARROW
    return to_json(data, name), JSON


def decode(payload: bytes, encoding: str, name: str) -> Any:
    """The data of some bytes. No bytes without an encoding are None.

    Raises:
        BadMessage: they are not what the encoding says; or pyarrow is not installed here.
    """
    kind = encoding.partition(";")[0]
    try:
        if kind == JSON:
            return json.loads(payload)
        if kind in _TEXTS:
            return payload.decode()
        if kind == ARROW:
            return _to_arrow(payload)
    except ImportError:
        raise BadMessage(f"{name}: a table of Apache Arrow came, and pyarrow is not installed here",
                         "pip install pyarrow") from None  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"{name}: {len(payload):,} bytes are not {kind}: {error}",
                         "whoever sends them names the wrong encoding") from None  # fmt: skip
    return payload if payload or kind else None


def to_line(payload: bytes, encoding: str) -> dict[str, Any]:
    """The fields of a message for who reads JSON: `data`, or `base64` of bytes that are no JSON and no text. What is
    not JSON says its `encoding`; bytes that are not what they say are shown as bytes."""
    kind = encoding.partition(";")[0]
    try:
        if kind == JSON:
            return {"data": json.loads(payload)}
        if kind in _TEXTS:
            return {"data": payload.decode(), "encoding": encoding}
    except (ValueError, RecursionError):
        pass
    if not payload and not kind:
        return {"data": None}
    return {"base64": base64.b64encode(payload).decode(), "encoding": encoding or BYTES}


def from_line(fields: Mapping[str, Any], name: str) -> tuple[bytes, str]:
    """The bytes and the encoding of `data` or `base64`, and perhaps `encoding`, as `to_line` makes them.

    Raises:
        InvalidRequest: there are both or neither, or they make no sense together.
        NotJson: as `encode`.
    """
    data, encoded, encoding = fields.get("data"), fields.get("base64"), fields.get("encoding")
    if encoded is not None and "data" in fields:
        raise InvalidRequest(f"{name} has `data` and `base64`.", "say one of them")
    if encoding is not None and not isinstance(encoding, str):
        raise InvalidRequest(f"{name}: its encoding is no text.", 'as in {"base64": "…", "encoding": "image/png"}')
    if encoded is not None:
        try:
            return base64.b64decode(encoded, validate=True), encoding or BYTES
        except (TypeError, ValueError, binascii.Error):
            raise InvalidRequest(f"{name}: `base64` is not Base64.", "encode the bytes, with padding") from None
    if encoding is not None and encoding.partition(";")[0] in _TEXTS and isinstance(data, str):
        return data.encode(), encoding
    return to_json(data, name), JSON


def _from_arrow(data: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, data.schema) as writer:
        writer.write(data)
    return bytes(sink.getvalue())


def _to_arrow(payload: bytes) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(payload).read_all()
